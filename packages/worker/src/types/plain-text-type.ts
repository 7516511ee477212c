const space = /[ \t\r\n]*/y
const jsonToken =
  /[ \t\r\n]*(?:([{}[\],:])|("(?:[^"\\]|\\.)*")|(?:-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null)(?![\w.]))/y
/** The delimiters of CSV, in the order in which they are tried. A tab makes the type text/tab-separated-values. */
const delimiters = [',', ';', '\t', '|']
/** Records of the sample that are compared. */
const maxRecords = 200
/** So many delimiters beyond the first record must agree with it. */
const minAgreeingDelimiters = 4

/**
 * Returns the type of valid text: JSON, CSV or plain text.
 *
 * @param start the start of the text, without a byte order mark
 * @param end its end, or the same text if it is all
 * @param isWhole whether `start` is the whole text
 */
export function plainTextType(start: string, end: string, isWhole: boolean): string {
  if (isJson(start, end, isWhole)) return 'application/json'
  return csvType(start, isWhole) ?? 'text/plain'
}

/** JSON is an object or an array here: any number is a text too. Of a long one, start and end are checked. */
function isJson(start: string, end: string, isWhole: boolean): boolean {
  if (!/^[ \t\r\n]*[[{]/.test(start)) return false
  if (!isWhole) return closingOfOpenJson(start) === end.trimEnd().at(-1)
  try {
    JSON.parse(start)
    return true
  } catch {
    return false
  }
}

/**
 * Follows the tokens of JSON.
 * @returns the bracket that will close the outermost value; undefined if the text is not the start of JSON, or all of it
 */
function closingOfOpenJson(text: string): string | undefined {
  const open: string[] = []
  let expected: 'value' | 'first' | 'key' | 'colon' | 'comma' = 'value'
  let at = 0
  for (;;) {
    jsonToken.lastIndex = at
    const token = jsonToken.exec(text)
    if (!token) break
    at += token[0].length
    const [, mark, quoted] = token
    const isObject: boolean = open.at(-1) === '}'
    if (mark === '{' || mark === '[') {
      if (expected !== 'value' && (expected !== 'first' || isObject)) return undefined
      open.push(mark === '{' ? '}' : ']')
      expected = 'first'
    } else if (mark === '}' || mark === ']') {
      if (mark !== open.at(-1) || (expected !== 'comma' && expected !== 'first')) return undefined
      open.pop()
      if (open.length === 0) return undefined
      expected = 'comma'
    } else if (mark === ',') {
      if (expected !== 'comma') return undefined
      expected = isObject ? 'key' : 'value'
    } else if (mark === ':') {
      if (expected !== 'colon') return undefined
      expected = 'value'
    } else if (isObject && (expected === 'first' || expected === 'key')) {
      if (quoted === undefined) return undefined
      expected = 'colon'
    } else {
      if (expected !== 'value' && expected !== 'first') return undefined
      expected = 'comma'
    }
  }
  space.lastIndex = at
  at += space.exec(text)?.[0].length ?? 0
  // The text may end within a token: a string, or the start of a number or name.
  const isCutToken = /^(?:"[\s\S]*|[\w.+-]{0,40})$/.test(text.slice(at))
  return isCutToken ? open[0] : undefined
}

/**
 * CSV: every record has as many fields as the first one, at least two, and enough records show it. A sentence a line with
 * one comma each is not enough.
 */
function csvType(text: string, isWhole: boolean): string | undefined {
  // Excel names the delimiter in the first line.
  const named = /^sep=([,;\t|])\r?\n/.exec(text)
  if (named) return named[1] === '\t' ? 'text/tab-separated-values' : 'text/csv'
  if (/^\s*[[{<]/.test(text)) return undefined
  const delimiter = delimiters.find((candidate) => isTable(text, candidate, isWhole))
  if (delimiter === undefined) return undefined
  return delimiter === '\t' ? 'text/tab-separated-values' : 'text/csv'
}

function isTable(text: string, delimiter: string, isWhole: boolean): boolean {
  const counts = countDelimiters(text, delimiter, isWhole)
  const [first = 0, ...others] = counts ?? []
  return (
    first > 0 &&
    !text.startsWith(delimiter) &&
    others.length * first >= minAgreeingDelimiters &&
    others.every((count) => count === first)
  )
}

/**
 * Counts the delimiters outside of quotes in each record (RFC 4180). Empty lines at the end do not count, nor does a last
 * record that may be cut.
 *
 * @returns undefined if quotes are misplaced
 */
function countDelimiters(text: string, delimiter: string, isWhole: boolean): number[] | undefined {
  const counts: number[] = []
  let count = 0
  let fieldStart = 0
  for (let at = 0; at < text.length && counts.length < maxRecords; at++) {
    const character = text[at]
    if (character === '"' && at === fieldStart) {
      const end = endOfQuoted(text, at + 1)
      if (end === undefined) return isWhole ? undefined : counts
      at = end
      if (at + 1 < text.length && !`${delimiter}\r\n`.includes(text[at + 1] ?? '')) return undefined
    } else if (character === delimiter) {
      count++
      fieldStart = at + 1
    } else if (character === '\n' || character === '\r') {
      if (character === '\r' && text[at + 1] === '\n') at++
      if (/^[\r\n]*$/.test(text.slice(at + 1, at + 200))) {
        counts.push(count)
        return counts
      }
      counts.push(count)
      count = 0
      fieldStart = at + 1
    }
  }
  if (isWhole && counts.length < maxRecords) counts.push(count)
  return counts
}

/** @returns where the closing quote is; two quotes are one character of the field */
function endOfQuoted(text: string, start: number): number | undefined {
  for (let at = text.indexOf('"', start); at >= 0; at = text.indexOf('"', at + 2)) {
    if (text[at + 1] !== '"') return at
  }
  return undefined
}
