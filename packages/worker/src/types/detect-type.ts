import { detectXml } from '@file-type/xml'
import { type Detector, FileTypeParser } from 'file-type'

/** How many of a file's first bytes are read to detect its type. file-type's documentation recommends 4,100. */
export const typeHeadBytes = 4100

/**
 * Detects a file's type from its bytes. The file name and the declared type are ignored.
 *
 * @param head the file's first `typeHeadBytes` bytes, or the whole file if it is shorter
 * @returns a media type, or undefined if the type is unknown (as for plain text)
 */
export async function detectMediaType(head: Uint8Array): Promise<string | undefined> {
  const detected = await new FileTypeParser({
    customDetectors: [{ id: 'xml', detect: detectWellFormedXml }],
  }).fromBuffer(head)
  if (detected?.mime === 'image/heif' && hasAvifBrand(head)) return 'image/avif'
  return detected?.mime ?? (hasTiffSignature(head) ? 'image/tiff' : undefined)
}

/** The detector's parser throws at the first syntax error. A text that is not well-formed is not XML. */
const detectWellFormedXml: Detector['detect'] = async (...parameters) => {
  try {
    return await detectXml.detect(...parameters)
  } catch (error) {
    if (error instanceof Error && error.message.includes('\nChar: ')) return undefined
    throw error
  }
}

/**
 * Whether a HEIF file with a general major brand, such as `mif1`, is compatible with AVIF (AV1 Image File Format, 6.2).
 * ISO/IEC 14496-12, 4.3: the box's size, its type, the major brand, its version, then compatible brands of four bytes.
 */
function hasAvifBrand(head: Uint8Array): boolean {
  const file = Buffer.from(head.buffer, head.byteOffset, head.byteLength)
  const brands: string[] = file.toString('latin1', 16, file.readUInt32BE(0)).match(/.{4}/gs) ?? []
  return brands.includes('avif')
}

/**
 * TIFF 6.0, section 2, and BigTIFF: byte order, then 42 or 43. file-type reads further to distinguish camera files based
 * on TIFF, and fails if the directory is at the end of the file. In camera files it never is.
 */
function hasTiffSignature(head: Uint8Array): boolean {
  const signature = Buffer.from(head.subarray(0, 4)).toString('latin1')
  return ['II*\0', 'MM\0*', 'II+\0', 'MM\0+'].includes(signature)
}
