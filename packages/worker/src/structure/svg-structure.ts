import { damaged, type Structure, truncated, whole } from './structure.ts'

/** What the text of an SVG says about it. */
export type SvgText = Structure & {
  /** How many elements contain each other at most. */
  levels: number
  elements: number
  /** The size that its root asks for, in CSS pixels of 1/96 inch; undefined if it has none. */
  size?: { width: number; height: number } | undefined
  /** Whether the size is in units of length, such as millimetres. */
  isPhysical?: boolean
  /** Where the name of the root element ends, in bytes; undefined if there is no root. */
  rootNameEnd?: number
}

/** Pixels of the absolute units of CSS (CSS Values and Units 4, 6.2). */
const unitPixels: Record<string, number> = {
  '': 1,
  px: 1,
  pt: 96 / 72,
  pc: 16,
  in: 96,
  cm: 96 / 2.54,
  mm: 96 / 25.4,
  q: 96 / 101.6,
}

/**
 * Returns an SVG as XML that libvips recognises: in UTF-8 if it is in UTF-16, without a byte order mark, and with `<svg` in
 * its first bytes, in a comment. Otherwise libvips finds no SVG after a long comment or a prefixed root.
 */
export function readableSvg(file: Buffer): Buffer {
  const text = fromUtf16(file)
  const document = text
    ? Buffer.from(text.replace(/^\uFEFF?\s*<\?xml[^?]*\?>|^\uFEFF/, ''))
    : file.subarray(file.toString('latin1', 0, 3) === '\xef\xbb\xbf' ? 3 : 0)
  const hasDeclaration = /^<\?xml\s/.test(document.toString('latin1', 0, 6))
  const declarationEnd = hasDeclaration ? document.indexOf('?>') + 2 : 0
  return Buffer.concat([
    document.subarray(0, declarationEnd),
    Buffer.from('<!--<svg-->'),
    document.subarray(declarationEnd),
  ])
}

/** An SVG with more elements is not drawn. librsvg's own limit is 1,000,000; each takes 2.5 kB of memory. */
export const maxSvgElements = 200_000

/** Returns about how many elements an SVG has, up to one more than the limit, without looking at anything else. */
export function countElements(file: Buffer): number {
  let elements = 0
  for (
    let at = file.indexOf(0x3c);
    at !== -1 && elements <= maxSvgElements;
    at = file.indexOf(0x3c, at + 1)
  ) {
    // Neither an end tag nor a comment or a declaration.
    if (file[at + 1] !== 0x2f && file[at + 1] !== 0x21) elements += 1
  }
  return elements
}

/** @returns the text, or undefined if the file is not in UTF-16 (XML 1.0, appendix F.1) */
function fromUtf16(file: Buffer): string | undefined {
  switch (file.toString('latin1', 0, 2)) {
    case '\xff\xfe':
    case '<\0':
      return file.toString('utf16le')
    case '\xfe\xff':
    case '\0<':
      return Buffer.from(file.subarray(0, file.length & ~1))
        .swap16()
        .toString('utf16le')
    default:
      return undefined
  }
}

/**
 * Reads the tags of an SVG once, from the front. Whether it is well-formed is the decoder's to say. This says whether it is
 * cut, and what a decoder would need time, memory or stack for.
 *
 * @param file in an encoding that agrees with ASCII, as `readableSvg` returns it
 */
export function checkSvg(file: Buffer): SvgText {
  const text = file.toString('latin1')
  let at = 0
  let depth = 0
  let levels = 0
  let elements = 0
  let root: Root = {}
  const result = (structure: Structure): SvgText => ({ ...structure, levels, elements, ...root })
  for (;;) {
    const start = text.indexOf('<', at)
    if (start === -1) break
    if (text.startsWith('<!DOCTYPE', start)) at = doctypeEnd(text, start)
    else if (text.startsWith('<!--', start)) at = after(text, '-->', start + 4)
    else if (text.startsWith('<![CDATA[', start)) at = after(text, ']]>', start)
    else if (text.startsWith('<?', start)) at = after(text, '?>', start)
    else {
      at = tagEnd(text, start)
      if (text[start + 1] === '/') depth -= 1
      else {
        elements += 1
        if (elements === 1)
          root = readRoot(text.slice(start, Math.min(at || text.length, start + maxRootChars)), start)
        if (at > 0 && text[at - 2] !== '/') depth += 1
        levels = Math.max(levels, depth)
      }
    }
    if (at === 0) return result(truncated('It ends in a tag, a comment or a section.'))
    // What follows the root belongs to no element.
    if (depth === 0 && elements > 0) return result(whole())
    if (depth < 0) return result(damaged(`An element is closed at byte ${start} that was not opened.`))
  }
  return result(truncated('It ends before its root element does.'))
}

type Root = Pick<SvgText, 'size' | 'isPhysical' | 'rootNameEnd'>

/** A start tag longer than this has no size here. Illustrator's, with many namespaces, have some 2,000 characters. */
const maxRootChars = 64 * 1024

/** @returns the place after the next `end`, or 0 if there is none */
function after(text: string, end: string, from: number): number {
  return text.indexOf(end, from) === -1 ? 0 : text.indexOf(end, from) + end.length
}

/** @returns the place after the tag, or 0 if the text ends before: a `>` in quotes does not end it */
function tagEnd(text: string, start: number): number {
  let at = start
  for (;;) {
    const close = text.indexOf('>', at)
    if (close === -1) return 0
    const quote = firstQuote(text, at, close)
    if (quote === -1) return close + 1
    const closing = text.indexOf(text.charAt(quote), quote + 1)
    if (closing === -1) return 0
    at = closing + 1
  }
}

/** @returns the place of the first quotation mark before `end`, or -1 */
function firstQuote(text: string, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const char = text.charCodeAt(at)
    if (char === 0x22 || char === 0x27) return at
  }
  return -1
}

/** XML 1.0, 2.8: the internal subset in brackets has declarations with `>`. */
function doctypeEnd(text: string, start: number): number {
  let isInside = false
  for (let at = start; at < text.length; at++) {
    switch (text[at]) {
      case '"':
      case "'": {
        at = text.indexOf(text.charAt(at), at + 1)
        if (at === -1) return 0
        break
      }
      case '<':
        if (text.startsWith('<!--', at)) {
          at = text.indexOf('-->', at)
          if (at === -1) return 0
        }
        break
      case '[':
        isInside = true
        break
      case ']':
        isInside = false
        break
      case '>':
        if (!isInside) return at + 1
    }
  }
  return 0
}

/** SVG 2, 8.2 and 8.7: a missing or relative side follows from the other one and the view box. */
function readRoot(tag: string, start: number): Root {
  const name = /^<[^\s/>]+/.exec(tag)?.[0] ?? ''
  const rootNameEnd = start + name.length
  const box = attribute(tag, 'viewBox')
    ?.trim()
    .split(/[\s,]+/)
    .map(Number)
  const [boxWidth = 0, boxHeight = 0] = box?.length === 4 ? box.slice(2) : []
  const hasBox = boxWidth > 0 && boxHeight > 0
  const sides = [attribute(tag, 'width'), attribute(tag, 'height')]
  const [width, height] = sides.map(pixels)
  const isPhysical = sides.some(
    (side) => pixels(side) !== undefined && !/^[^a-z]*(?:px)?\s*$/i.test(side ?? ''),
  )
  const sized = (sizeWidth: number, sizeHeight: number): Root =>
    Number.isFinite(sizeWidth * sizeHeight)
      ? { rootNameEnd, isPhysical, size: { width: sizeWidth, height: sizeHeight } }
      : { rootNameEnd }
  if (width !== undefined && height !== undefined) return sized(width, height)
  if (!hasBox) return { rootNameEnd }
  if (width !== undefined) return sized(width, (width * boxHeight) / boxWidth)
  if (height !== undefined) return sized((height * boxWidth) / boxHeight, height)
  return sized(boxWidth, boxHeight)
}

function attribute(tag: string, name: string): string | undefined {
  const [, double, single] =
    new RegExp(`\\s${name}\\s*=\\s*(?:"([^"<]{0,100})"|'([^'<]{0,100})')`).exec(tag) ?? []
  return double ?? single
}

/** @returns undefined for a length that depends on something else, such as a percentage */
function pixels(length: string | undefined): number | undefined {
  const [, number, unit = ''] =
    /^\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)\s*([a-z]*)\s*$/i.exec(length ?? '') ?? []
  const perUnit = unitPixels[unit.toLowerCase()]
  return number === undefined || perUnit === undefined ? undefined : Number(number) * perUnit
}
