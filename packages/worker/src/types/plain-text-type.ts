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
  if (!text.includes(delimiter)) return false
  const special = new RegExp(`[${delimiter}"\\r\\n]`, 'g')
  let first: number | undefined
  let agreeing = 0
  for (let at = 0, records = 0; at < text.length && records < maxRecords; records++) {
    const record = readRecord(text, at, delimiter, special, isWhole)
    if (record === 'misplaced quote') return false
    if (record === 'cut') break
    at = record.end
    if (first === undefined) {
      first = record.delimiters
      if (!isHeader(text.slice(record.start, at), delimiter)) return false
    } else if (record.delimiters === first) agreeing += first
    // Empty lines may only come at the end.
    else return record.delimiters === 0 && isEmpty(text, record.start) && agreeing >= minAgreeingDelimiters
  }
  return agreeing >= minAgreeingDelimiters
}

/**
 * Whether a first record may name columns: one of three or more names may be empty, for row numbers or by a delimiter at
 * the end. Lines of code end in one semicolon or begin with tabs.
 */
function isHeader(record: string, delimiter: string): boolean {
  const fields = record.split(delimiter)
  const empty = fields.filter((field) => field.trim() === '').length
  return fields.length > 1 && empty <= (fields.length > 2 ? 1 : 0) && !record.startsWith('\t')
}

/**
 * Reads one record (RFC 4180): counts the delimiters outside of quotes, and finds where the next record starts.
 * A last record without a line break may be cut, unless the text is whole.
 *
 * @param special matches the delimiter, quotes and line breaks
 */
function readRecord(
  text: string,
  start: number,
  delimiter: string,
  special: RegExp,
  isWhole: boolean,
): { start: number; end: number; delimiters: number } | 'cut' | 'misplaced quote' {
  let delimiters = 0
  let fieldStart = start
  let from = start
  for (;;) {
    special.lastIndex = from
    const found = special.exec(text)
    if (!found) return isWhole ? { start, end: text.length, delimiters } : 'cut'
    const at = found.index
    from = at + 1
    const character = text[at]
    if (character === delimiter) {
      delimiters++
      fieldStart = at + 1
    } else if (character !== '"') {
      const end = text.startsWith('\r\n', at) ? at + 2 : at + 1
      return { start, end, delimiters }
    } else if (at === fieldStart) {
      const end = endOfQuoted(text, at + 1)
      if (end === undefined) return isWhole ? 'misplaced quote' : 'cut'
      const next = text[end + 1]
      if (next !== undefined && !`${delimiter}\r\n`.includes(next)) return 'misplaced quote'
      from = end + 1
    }
  }
}

function isEmpty(text: string, start: number): boolean {
  return /^[\r\n]*$/.test(text.slice(start))
}

/** @returns where the closing quote is; two quotes are one character of the field */
function endOfQuoted(text: string, start: number): number | undefined {
  for (let at = text.indexOf('"', start); at >= 0; at = text.indexOf('"', at + 2)) {
    if (text[at + 1] !== '"') return at
  }
  return undefined
}
