import { decodeWords } from '@millrace/shared/uploads/encoded-words.ts'
import { decodeExtended, parse } from 'content-disposition'

/** The names in a part's `Content-Disposition`. */
export type PartNames = { field: string | undefined; filename: string | undefined }

/**
 * Reads the names of a part of a multipart/form-data body. `filename*` wins over `filename` (RFC 6266, 4.3), although RFC 7578
 * forbids it in forms: some clients send both.
 *
 * @param header `Content-Disposition` with one character for each byte; undefined: the part has none
 * @returns undefined if the part is not form data
 */
export function namesOfPart(header: string | undefined): PartNames | undefined {
  if (header === undefined) return undefined
  // Browsers escape quotes as %22 and nothing else (HTML Standard, "multipart/form-data encoding algorithm"); others as \".
  const { type, parameters } = parse(header.replaceAll('\\"', '%22'), { multipart: true, extended: false })
  if (type !== 'form-data') return undefined
  const { name, filename, 'filename*': extended } = parameters
  const decoded = (extended && decodeExtended(extended)) ?? (filename && decodeHeaderText(filename))
  return {
    field: name && decodeHeaderText(name),
    filename: decoded === undefined ? filename : baseName(decoded),
  }
}

/**
 * Returns the filename in a `Content-Disposition` header of a request (RFC 6266), if there is one.
 * @param header with one character for each byte
 */
export function filenameOfDisposition(header: string | undefined): string | undefined {
  if (header === undefined) return undefined
  const { filename, 'filename*': extended } = parse(header, { extended: false }).parameters
  return (extended && decodeExtended(extended)) ?? (filename && decodeHeaderText(filename))
}

/** Decodes text of a header: UTF-8, in which other bytes become U+FFFD, and RFC 2047's encoded words. */
function decodeHeaderText(bytes: string): string {
  return decodeWords(Buffer.from(bytes, 'latin1').toString())
}

/**
 * Removes directories and control characters. Browsers allow line breaks in a name (`%0A`), and nobody at the other end can
 * change it.
 */
function baseName(name: string): string {
  const base = name.slice(Math.max(name.lastIndexOf('/'), name.lastIndexOf('\\')) + 1)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is removed
  const printable = base.replaceAll(/[\u0000-\u001f\u007f]/g, '')
  return printable === '.' || printable === '..' ? '' : printable
}
