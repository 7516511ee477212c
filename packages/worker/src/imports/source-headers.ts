import { decodeWords } from '@millrace/shared/uploads/encoded-words.ts'
import { decodeExtended, parse } from 'content-disposition'

/**
 * The content codings of IANA's HTTP registry except `identity`, with their aliases (RFC 9110, 8.4.1). All of them change
 * the bytes.
 */
const contentCodings = new Set([
  ...['aes128gcm', 'br', 'compress', 'dcb', 'dcz', 'deflate', 'exi', 'gzip', 'pack200-gzip', 'zstd'],
  ...['x-compress', 'x-gzip'],
])

/**
 * Whether a `Content-Encoding` names a content coding. Object stores send whatever an object is labelled with, such as
 * `aws-chunked`, `utf-8` or `base64`. Such labels do not change the bytes, as in browsers.
 *
 * @param header of Node: several headers are joined by commas
 */
export function isEncoded(header: string | undefined): boolean {
  const labels = header?.toLowerCase().split(',') ?? []
  return labels.some((label) => contentCodings.has(label.trim()))
}

/**
 * Returns the URL of a `Location`, or null if it is not valid. Many servers send characters as raw UTF-8 (or in another
 * charset), although a URL is ASCII. These bytes are percent-encoded, as browsers do, so the source gets back what it sent.
 *
 * @param header of Node, which turns each byte into one character
 * @param base the URL that was requested
 */
export function parseLocation(header: string, base: URL): URL | null {
  const ascii = header.replaceAll(
    /[\u0080-\u00ff]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase()}`,
  )
  return URL.parse(ascii, base.href)
}

/**
 * Returns the name in a `Content-Disposition` (RFC 6266): `filename*` if its charset is known, else `filename`, whose bytes
 * may be UTF-8 or Latin-1, or encoded words (RFC 2047).
 *
 * @param header of Node, which turns each byte into one character
 * @returns the name as the source sent it, which may contain anything; undefined if there is none
 */
export function filenameOfDisposition(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  const { filename, 'filename*': extended } = parse(header, { extended: false }).parameters
  // Some servers quote it, although RFC 8187 does not allow that.
  const decoded = extended === undefined ? undefined : decodeExtended(extended)
  if (decoded !== undefined) return decoded
  return filename === undefined ? undefined : decodeWords(decodeBytes(filename))
}

/** Reads bytes as UTF-8, or as Latin-1 if they are not UTF-8. @param bytes one character for each byte */
function decodeBytes(bytes: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(bytes, 'latin1'))
  } catch {
    return bytes
  }
}
