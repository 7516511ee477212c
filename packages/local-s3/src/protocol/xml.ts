import { parseXml, XmlElement } from '@rgrove/parse-xml'
import { S3Error } from './s3-error.ts'

export type { XmlElement }

/**
 * An element's content: text, child elements, a list (the element repeats), or `undefined` (it is left out). A name
 * that starts with `@` is an attribute.
 */
export type XmlValue = string | number | boolean | undefined | XmlTree | readonly XmlValue[]
export type XmlTree = { readonly [name: string]: XmlValue }

const escapes: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** Escapes text. Characters that XML 1.0 does not allow become numeric references, as S3 writes them. */
function escapeText(text: string): string {
  return text
    .replace(/[&<>"]/g, (character) => escapes[character] ?? character)
    .replace(/[\p{Cc}\ufffe\uffff]/gu, (character) => `&#x${character.charCodeAt(0).toString(16)};`)
}

/** Needed because Array.isArray does not narrow a union to its readonly array. */
function isList(value: XmlValue): value is readonly XmlValue[] {
  return Array.isArray(value)
}

function element(name: string, value: XmlValue): string {
  if (value === undefined) return ''
  if (isList(value)) return value.map((item) => element(name, item)).join('')
  if (typeof value === 'object') return `<${name}${attributes(value)}>${children(value)}</${name}>`
  return `<${name}>${escapeText(String(value))}</${name}>`
}

function attributes(tree: XmlTree): string {
  return Object.entries(tree)
    .filter(([name]) => name.startsWith('@'))
    .map(([name, value]) => ` ${name.slice(1)}="${escapeText(String(value))}"`)
    .join('')
}

function children(tree: XmlTree): string {
  return Object.entries(tree)
    .filter(([name]) => !name.startsWith('@'))
    .map(([name, value]) => element(name, value))
    .join('')
}

/**
 * Writes an XML document as S3 does.
 *
 * @param root the root element's name; it gets S3's namespace unless it is `Error` or `PostResponse`
 * @param content the root's text, or its child elements in order; arrays repeat an element, `undefined` leaves it out
 */
export function xmlDocument(root: string, content: XmlTree | string): string {
  const namespace =
    root === 'Error' || root === 'PostResponse' ? '' : ' xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
  const inner = typeof content === 'string' ? escapeText(content) : children(content)
  return `<?xml version="1.0" encoding="UTF-8"?>\n<${root}${namespace}>${inner}</${root}>`
}

/**
 * Parses a request body as XML. A DTD is ignored, and its entities are not expanded.
 *
 * @param body the document in UTF-8
 * @param root the root element that the operation expects; any if it is not given
 * @throws S3Error MalformedXML if it is not well-formed or has another root
 */
export function parseXmlBody(body: Buffer, root?: string): XmlElement {
  let parsed: XmlElement | null
  try {
    parsed = parseXml(new TextDecoder('utf-8', { fatal: true }).decode(body)).root
  } catch {
    throw new S3Error('MalformedXML')
  }
  if (parsed === null || (root !== undefined && parsed.name !== root)) throw new S3Error('MalformedXML')
  return parsed
}

/** Returns the child elements, or those of one name, in order. */
export function childElements(parent: XmlElement, name?: string): XmlElement[] {
  const found: XmlElement[] = []
  for (const child of parent.children) {
    if (child instanceof XmlElement && (name === undefined || child.name === name)) found.push(child)
  }
  return found
}

/**
 * Returns the text of the only child element of that name; `undefined` if there is none.
 *
 * @throws S3Error MalformedXML if there are several
 */
export function childText(parent: XmlElement, name: string): string | undefined {
  const found = childElements(parent, name)
  if (found.length > 1) throw new S3Error('MalformedXML')
  return found[0]?.text
}
