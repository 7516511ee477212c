import { AppError } from '@millrace/shared/service/app-error.ts'
import type { ImageKind } from '@millrace/worker/formats/image-kind.ts'
import { openImage } from '@millrace/worker/formats/open-image.ts'
import type { OpenedImage } from '@millrace/worker/pixels/opened-image.ts'
import { type Colour, colourDifference } from './colour-difference.ts'

export type Picture = Pick<OpenedImage, 'width' | 'height' | 'frames' | 'warnings'> & {
  channels: number
  /** Returns the colour of a pixel in sRGB. @param x @param y from 0 to 1 */
  at(x: number, y: number): Colour
}

/** Opens and decodes an image as decoder processes do, at its full size. */
export async function openPicture(kind: ImageKind, file: Buffer, maxPixels = 100_000_000): Promise<Picture> {
  const image = await openImage(kind, file, { maxPixels })
  const { width, height, frames, warnings } = image
  const size = { width, height }
  return image.decode({ page: 0, isAnimated: false, size }, async (picture) => {
    const { data, info } = await picture
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    if (info.width !== width || info.height !== height) {
      throw new Error(`The picture has ${info.width} × ${info.height}, not ${width} × ${height}.`)
    }
    const at = (x: number, y: number): Colour => {
      const offset = (Math.floor(height * y) * width + Math.floor(width * x)) * info.channels
      return [...data.subarray(offset, offset + info.channels)]
    }
    return { width, height, frames, warnings, channels: info.channels, at }
  })
}

/** Returns the colours in the middle of the quarters: top left, top right, bottom left, bottom right. */
export function quarterColours(picture: Picture): Colour[] {
  return [picture.at(0.25, 0.25), picture.at(0.75, 0.25), picture.at(0.25, 0.75), picture.at(0.75, 0.75)]
}

/** Returns the largest difference of colours and, if there is alpha, of alpha in percent. */
export function largestDifference(actual: Colour[], expected: Colour[]): number {
  return Math.max(
    ...expected.map((colour, index) => {
      const other = actual[index] ?? []
      const alpha = Math.abs((colour[3] ?? 255) - (other[3] ?? 255)) / 2.55
      return Math.max(colourDifference(colour.slice(0, 3), other.slice(0, 3)), alpha)
    }),
  )
}

/** Opens an image that is rejected. @returns the code and the message of its rejection */
export async function rejectionOf(kind: ImageKind, file: Buffer, maxPixels?: number) {
  try {
    await openPicture(kind, file, maxPixels)
  } catch (error) {
    if (error instanceof AppError) return { code: error.code, message: error.message }
    throw error
  }
  return { code: 'ready', message: '' }
}
