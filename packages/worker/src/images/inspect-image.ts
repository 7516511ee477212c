import { AppError } from '@millrace/shared/service/app-error.ts'
import { corruptImage } from './corrupt-image.ts'
import type { ImageKind } from './image-kind.ts'
import { libraryPixelLimit, sharp } from './sharp-setup.ts'

/** An image whose header was read and found acceptable. */
export type InspectedImage = {
  kind: ImageKind
  bytes: Buffer
  /** Pixels, as displayed: after the EXIF orientation is applied. Of one frame, where there are several. */
  width: number
  height: number
  /** Frames of an animation; 1 for a still image, and for what has pages rather than frames (TIFF). */
  frames: number
}

/** libvips' name of each kind's format: the header that is read must be of the kind that the bytes are. */
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
 * Reads an image's header; not one pixel is decoded.
 *
 * @param image.kind what the bytes are
 * @param image.bytes the whole file
 * @param maxPixels the limit; all frames of an animation count
 * @throws AppError `image_corrupt`, `image_too_many_pixels`
 */
export async function inspectImage(
  { kind, bytes }: { kind: ImageKind; bytes: Buffer },
  { maxPixels }: { maxPixels: number },
): Promise<InspectedImage> {
  const header = await readHeader(kind, bytes)
  const { width, height } = header.autoOrient
  const frames = kind === 'image/gif' || kind === 'image/webp' ? (header.pages ?? 1) : 1
  const pixels = width * height * frames
  if (pixels > maxPixels) {
    const size = `${width} × ${height}${frames > 1 ? ` pixels in ${frames} frames` : ' pixels'}`
    throw new AppError('image_too_many_pixels', {
      message: `The image has ${size}, ${count(pixels)} in all; the limit is ${count(maxPixels)}.`,
      limit: maxPixels,
    })
  }
  return { kind, bytes, width, height, frames }
}

async function readHeader(kind: ImageKind, bytes: Buffer) {
  try {
    // Damage behind the header is for the decoder to find: `failOn` would only give it a vaguer name here.
    const header = await sharp(bytes, { failOn: 'none' }).metadata()
    if (header.format !== formats[kind]) throw new Error(`a ${kind} was opened as ${header.format}`)
    return header
  } catch (error) {
    // sharp's own limit, which is never lifted, however low or high ours is set.
    if (error instanceof Error && /exceeds pixel limit/i.test(error.message)) {
      throw new AppError('image_too_many_pixels', {
        message: `The image has more than ${count(libraryPixelLimit)} pixels, which is the limit.`,
        limit: libraryPixelLimit,
        cause: error,
      })
    }
    throw corruptImage(kind, bytes, error)
  }
}

function count(pixels: number): string {
  return pixels.toLocaleString('en-US')
}
