import { XmlTextDetector } from '@file-type/xml'

const namespaces = { svg: 'http://www.w3.org/2000/svg', xhtml: 'http://www.w3.org/1999/xhtml' }
/** Elements that only HTML documents begin with. */
const documentElements = new Set([
  'html',
  'head',
  'body',
  'title',
  'script',
  'style',
  'meta',
  'link',
  'iframe',
])
/** Elements that a part of a page begins with, and so does Markdown. */
const pageElements = new Set(['div', 'table', 'h1', 'h2', 'p', 'a', 'b', 'ul', 'section', 'article'])

/** Of a root element. Namespaces come first, or among few others. */
const maxAttributes = 500

const declaration = /^<\?xml\s/
const doctypeStart = /<!doctype(?:\s+([^\s>[]+))?/iy
const rootStart = /<([\p{L}_][\p{L}\p{N}_.-]*(?::[\p{L}_][\p{L}\p{N}_.-]*)?)(?=[\s/>])/uy
const attribute = /\s*([^\s=<>"'/]+)\s*=\s*("[^"]*"|'[^']*'|[^\s"'<>]+)/y
const bareAttribute = /\s*[^\s=<>"'/]+(?=[\s/>])/y
const tagEnd = /\s*\/?>/y

/** The tag of a root element. It ends where the text ends if it goes on. */
type Root = { name: string; attributes: Map<string, string>; end: number }

/** The start of a markup document, up to the end of its root element's tag. */
type Prolog = {
  isDeclared: boolean
  doctype: string | undefined
  /** Undefined if the text ends before. */
  root: Root | undefined
}

/**
 * Returns the type of an XML or HTML document, by its root element. Comments, processing instructions and a doctype may
 * come before it. Elements within it do not count, so a page that contains `<svg` is not SVG.
 *
 * @param text the start of the text, without a byte order mark
 * @param end the end of the text, to decide whether text without a declaration is XML
 * @returns the type, undefined if it is no such document; and whether more of the text could show another one
 */
export function markupType(text: string, end: string): { mediaType: string | undefined; wantsMore: boolean } {
  const prolog = readProlog(text)
  if (!prolog) return { mediaType: undefined, wantsMore: false }
  const { root, isDeclared } = prolog
  const mediaType = root ? typeOfRoot(root, prolog, text, end) : isDeclared ? 'application/xml' : undefined
  return { mediaType, wantsMore: !root || root.end >= text.length }
}

function typeOfRoot(
  { name, attributes, end: rootEnd }: Root,
  { isDeclared, doctype }: Prolog,
  text: string,
  end: string,
): string | undefined {
  const [prefix, localName] = name.includes(':') ? name.split(':') : ['', name]
  const namespace = attributes.get(prefix === '' ? 'xmlns' : `xmlns:${prefix}`)
  if (namespace !== namespaces.xhtml) {
    if (doctype?.toLowerCase() === 'html') return 'text/html'
    if (!isDeclared && namespace === undefined && documentElements.has(name.toLowerCase())) return 'text/html'
  }
  // Illustrator declares the namespace as an entity of its doctype.
  const isSvgNamespace = namespace === namespaces.svg || /^&[^;]+;$/.test(namespace ?? '')
  if (localName === 'svg' && (isSvgNamespace || (namespace === undefined && prefix === ''))) {
    return 'image/svg+xml'
  }
  const known = typeOfVocabulary(text.slice(0, rootEnd))
  if (known || isDeclared || doctype !== undefined || namespace !== undefined)
    return known ?? 'application/xml'
  const isClosed = end.trimEnd().endsWith(`</${name}>`) || text.slice(rootEnd - 2).trimEnd() === '/>'
  if (!isClosed) return undefined
  return pageElements.has(name.toLowerCase()) ? 'text/html' : 'application/xml'
}

function typeOfVocabulary(text: string): string | undefined {
  const detector = new XmlTextDetector()
  try {
    detector.write(text)
  } catch {
    // The text is not well-formed.
  }
  return detector.fileType?.mime
}

/** @returns undefined if the text begins with something else */
function readProlog(text: string): Prolog | undefined {
  const prolog: Prolog = { isDeclared: false, doctype: undefined, root: undefined }
  let at = skipSpace(text, 0)
  if (text[at] !== '<') return undefined
  while (at < text.length) {
    if (text.startsWith('<?', at)) {
      if (declaration.test(text.slice(at, at + 6))) prolog.isDeclared = true
      at = endOf(text, '?>', at)
    } else if (text.startsWith('<!--', at)) {
      at = endOf(text, '-->', at + 4)
    } else {
      const doctype = matchAt(doctypeStart, text, at)
      if (!doctype) return readRoot(text, at, prolog)
      prolog.doctype = doctype[1] ?? ''
      at = endOfDoctype(text, at + doctype[0].length)
    }
    at = skipSpace(text, at)
  }
  return prolog
}

/** @returns undefined if there is no element and none can follow */
function readRoot(text: string, at: number, prolog: Prolog): Prolog | undefined {
  const start = matchAt(rootStart, text, at)
  if (!start?.[1]) return /^<[^\s<>]*$/.test(text.slice(at)) ? prolog : undefined
  const attributes = new Map<string, string>()
  let end = at + start[0].length
  for (let count = 0; count < maxAttributes; count++) {
    const closing = matchAt(tagEnd, text, end)
    if (closing) return { ...prolog, root: { name: start[1], attributes, end: end + closing[0].length } }
    const next = matchAt(attribute, text, end)
    const found = next ?? matchAt(bareAttribute, text, end)
    if (!found) break
    if (next?.[1] && next[2]) attributes.set(next[1], next[2].replace(/^["']|["']$/g, ''))
    end += found[0].length
  }
  // The tag goes on after the text, is not well-formed, or has too many attributes.
  return { ...prolog, root: { name: start[1], attributes, end } }
}

/**
 * Finds the end of a doctype, which may have an internal subset in brackets, with declarations, quoted values and comments.
 * What does not end goes on to the end of the text.
 */
function endOfDoctype(text: string, start: number): number {
  let at = start
  let depth = 0
  while (at < text.length) {
    const character = text[at] ?? ''
    if (character === '"' || character === "'") at = endOf(text, character, at + 1)
    else if (text.startsWith('<!--', at)) at = endOf(text, '-->', at + 4)
    else if (text.startsWith('<?', at)) at = endOf(text, '?>', at + 2)
    else {
      at++
      if (character === '[' || character === '<') depth++
      else if (character === ']' || (character === '>' && depth > 0)) depth--
      else if (character === '>') return at
    }
  }
  return at
}

function matchAt(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

function skipSpace(text: string, start: number): number {
  let at = start
  while (/\s/.test(text[at] ?? '')) at++
  return at
}

function endOf(text: string, mark: string, from: number): number {
  const at = text.indexOf(mark, from)
  return at < 0 ? text.length : at + mark.length
}
