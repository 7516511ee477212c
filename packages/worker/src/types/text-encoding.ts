import { isUtf8 } from 'node:buffer'

export type TextEncoding = 'utf-8' | 'utf-16le' | 'utf-16be' | 'windows-1252'

/** Control characters that no text has: all but tab, line feed, form feed, carriage return and escape (WHATWG MIME Sniffing, 3). */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is looked for.
const binaryCharacter = /[\0-\x08\x0b\x0e-\x1a\x1c-\x1f\ufffe\uffff]/
/** Bytes that are no character in Windows-1252 (WHATWG Encoding, index windows-1252), which contains Latin-1. */
const noCharacter = /[\x81\x8d\x8f\x90\x9d]/
/** Languages that are written in it have at most some umlauts and accents: a larger share of other characters is binary data. */
const minAsciiShare = 1 / 2

/** Returns the encoding that a byte order mark names, or XML without one (XML 1.0, F.1), or UTF-8. */
export function encodingOf(head: Buffer): { encoding: TextEncoding; markBytes: number } {
  if (head[0] === 0xff && head[1] === 0xfe) return { encoding: 'utf-16le', markBytes: 2 }
  if (head[0] === 0xfe && head[1] === 0xff) return { encoding: 'utf-16be', markBytes: 2 }
  const start = head.toString('latin1', 0, 4)
  if (start === '<\0?\0') return { encoding: 'utf-16le', markBytes: 0 }
  if (start === '\0<\0?') return { encoding: 'utf-16be', markBytes: 0 }
  return { encoding: 'utf-8', markBytes: hasUtf8Mark(head) ? 3 : 0 }
}

export function hasUtf8Mark(head: Buffer): boolean {
  return head[0] === 0xef && head[1] === 0xbb && head[2] === 0xbf
}

/** Returns whether there is a byte that no text in UTF-8 or in an encoding of one byte a character has. */
export function hasBinaryBytes(bytes: Buffer): boolean {
  return binaryCharacter.test(bytes.toString('latin1'))
}

/**
 * Decodes a part of a file, if it is valid text.
 *
 * @param part.cutStart whether the file goes on before the part, which may so begin within a character
 * @param part.cutEnd the same for its end
 * @returns undefined if it is not valid in the encoding, or has characters that no text has
 */
export function decodeText(
  bytes: Buffer,
  encoding: TextEncoding,
  part: { cutStart: boolean; cutEnd: boolean },
): string | undefined {
  if (encoding === 'windows-1252') return decodeWindows1252(bytes)
  const text =
    encoding === 'utf-8'
      ? decodeUtf8(trimUtf8(bytes, part))
      : decodeUtf16(bytes.subarray(0, bytes.length - (part.cutEnd ? bytes.length % 2 : 0)), encoding, part)
  return text === undefined || binaryCharacter.test(text) ? undefined : text
}

/**
 * Nothing in a file names this encoding, so the bytes must look like such a text. Only the ASCII characters are decoded
 * correctly: no type depends on others.
 */
function decodeWindows1252(bytes: Buffer): string | undefined {
  const text = bytes.toString('latin1')
  if (binaryCharacter.test(text) || noCharacter.test(text)) return undefined
  const others = text.match(/[^\0-\x7f]/g)?.length ?? 0
  return text.length - others >= text.length * minAsciiShare ? text : undefined
}

function decodeUtf8(bytes: Buffer): string | undefined {
  return isUtf8(bytes) ? bytes.toString('utf8') : undefined
}

/** Removes the rest of a character at the start, and the start of one at the end: at most 3 bytes each. */
function trimUtf8(bytes: Buffer, { cutStart, cutEnd }: { cutStart: boolean; cutEnd: boolean }): Buffer {
  const isContinuation = (at: number) => ((bytes[at] ?? 0) & 0xc0) === 0x80
  let start = 0
  if (cutStart) while (start < 3 && isContinuation(start)) start++
  let end = bytes.length
  if (cutEnd) {
    let lead = end - 1
    while (lead > start && lead > end - 4 && isContinuation(lead)) lead--
    const first = bytes[lead] ?? 0
    const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1
    if (length > 1 && lead + length > end) end = lead
  }
  return bytes.subarray(start, end)
}

function decodeUtf16(
  bytes: Buffer,
  encoding: 'utf-16le' | 'utf-16be',
  { cutStart, cutEnd }: { cutStart: boolean; cutEnd: boolean },
): string | undefined {
  if (bytes.length % 2 !== 0) return undefined
  const text =
    encoding === 'utf-16le' ? bytes.toString('utf16le') : Buffer.from(bytes).swap16().toString('utf16le')
  const start = cutStart && /^[\udc00-\udfff]/.test(text) ? 1 : 0
  const end = text.length - (cutEnd && /[\ud800-\udbff]$/.test(text) ? 1 : 0)
  const trimmed = text.slice(start, end)
  return trimmed.isWellFormed() ? trimmed : undefined
}
