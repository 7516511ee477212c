import { detectXml } from '@file-type/xml'
import { type Detector, FileTypeParser } from 'file-type'

/** The kinds of image that variants are made of, and what people call them. */
export const imageKindNames = {
  'image/jpeg': 'JPEG',
  'image/png': 'PNG',
  'image/apng': 'PNG',
  'image/webp': 'WebP',
  'image/avif': 'AVIF',
  'image/gif': 'GIF',
  'image/tiff': 'TIFF',
} as const

export type ImageKind = keyof typeof imageKindNames

/** How many of a file's first bytes decide its type. file-type's documentation names 4,100 as enough. */
export const typeHeadBytes = 4100

export function isImageKind(mediaType: string | undefined): mediaType is ImageKind {
  return mediaType !== undefined && Object.hasOwn(imageKindNames, mediaType)
}

/**
 * Tells a file's type by its bytes alone; its name and its declared type are not asked.
 *
 * @param head the file's first bytes, `typeHeadBytes` or all there are
 * @returns a media type, or undefined where the bytes are of no known kind (as those of plain text are)
 */
export async function detectMediaType(head: Uint8Array): Promise<string | undefined> {
  const detected = await new FileTypeParser({
    customDetectors: [{ id: 'xml', detect: detectWellFormedXml }],
  }).fromBuffer(head)
  return detected?.mime ?? (beginsLikeTiff(head) ? 'image/tiff' : undefined)
}

/** The detector's parser throws at the first mistake; what is not well-formed is not XML. */
const detectWellFormedXml: Detector['detect'] = async (...given) => {
  try {
    return await detectXml.detect(...given)
  } catch (error) {
    if (error instanceof Error && error.message.includes('\nChar: ')) return undefined
    throw error
  }
}

/**
 * TIFF 6.0, section 2, and BigTIFF: byte order, then 42 or 43. file-type reads on, to tell camera files
 * apart that are TIFF underneath, and gives up where the directory lies at the file's end; theirs never do.
 */
function beginsLikeTiff(head: Uint8Array): boolean {
  const signature = Buffer.from(head.subarray(0, 4)).toString('latin1')
  return ['II*\0', 'MM\0*', 'II+\0', 'MM\0+'].includes(signature)
}
