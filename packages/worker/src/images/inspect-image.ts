import { AppError } from '@millrace/shared/service/app-error.ts'
import { checkBeforeDecoding } from '../structure/image-structure.ts'
import { partLimits } from '../structure/structure.ts'
import { corruptImage, structureError } from './corrupt-image.ts'
import { type ImageKind, imageKindNames } from './image-kind.ts'
import { libraryPixelLimit, sharp } from './sharp-setup.ts'

/** An image whose header passed inspection. */
export type InspectedImage = {
  kind: ImageKind
  /** The whole file, or a repaired copy that the strict decoder takes. */
  bytes: Buffer
  /** Pixels of one frame, as displayed: after the EXIF orientation is applied. */
  width: number
  height: number
  /** Frames of an animation. 1 for a still image and for a format with pages (TIFF). */
  frames: number
}

/** libvips' format name of each kind. The header must be of the detected kind. */
const formats = {
  'image/jpeg': 'jpeg',
  'image/png': 'png',
  'image/apng': 'png',
  'image/webp': 'webp',
  'image/avif': 'heif',
  'image/gif': 'gif',
  'image/tiff': 'tiff',
} as const satisfies Record<ImageKind, string>

/**
 * Reads an image's header. No pixels are decoded.
 *
 * @param image.kind the detected kind
 * @param image.bytes the whole file
 * @param maxPixels limit for all frames together
 * @throws AppError `image_corrupt`, `image_too_many_pixels`, `image_too_complex`
 */
export async function inspectImage(
  { kind, bytes }: { kind: ImageKind; bytes: Buffer },
  { maxPixels }: { maxPixels: number },
): Promise<InspectedImage> {
  checkParts(kind, bytes)
  const header = await readHeader(kind, bytes)
  const { width, height } = header.autoOrient
  const frames = kind === 'image/gif' || kind === 'image/webp' ? (header.pages ?? 1) : 1
  const pixels = width * height * frames
  if (pixels > maxPixels) {
    const size = `${width} × ${height}${frames > 1 ? ` pixels in ${frames} frames` : ' pixels'}`
    throw new AppError('image_too_many_pixels', {
      message: `The image has ${size}, ${format(pixels)} in total; the limit is ${format(maxPixels)}.`,
      limit: maxPixels,
    })
  }
  return { kind, bytes, width, height, frames }
}

/** Checks the file's structure and the number of its scans, frames, pages and chunks. */
function checkParts(kind: ImageKind, bytes: Buffer): void {
  const { state, reason, parts } = checkBeforeDecoding(kind, bytes)
  if (parts && parts.count > partLimits[parts.name]) {
    const limit = partLimits[parts.name]
    throw new AppError('image_too_complex', {
      message: `The ${imageKindNames[kind]} has more than ${format(limit)} ${parts.name}, which is the limit.`,
      limit,
    })
  }
  if (state !== 'whole') throw structureError(kind, state, new Error(reason))
}

async function readHeader(kind: ImageKind, bytes: Buffer) {
  try {
    // The decoder finds damage after the header. With `failOn`, the message here would be less precise.
    const header = await sharp(bytes, { failOn: 'none' }).metadata()
    if (header.format !== formats[kind]) throw new Error(`libvips opened a ${kind} as ${header.format}`)
    return header
  } catch (error) {
    // sharp's own limit, which stays in force whatever our limit is.
    if (error instanceof Error && /exceeds pixel limit/i.test(error.message)) {
      throw new AppError('image_too_many_pixels', {
        message: `The image has more than ${format(libraryPixelLimit)} pixels, which is the limit.`,
        limit: libraryPixelLimit,
        cause: error,
      })
    }
    throw corruptImage(kind, bytes, error)
  }
}

function format(pixels: number): string {
  return pixels.toLocaleString('en-US')
}
