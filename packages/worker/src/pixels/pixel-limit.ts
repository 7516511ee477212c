import { AppError } from '@millrace/shared/service/app-error.ts'
import type { OpenedImage } from './opened-image.ts'

/**
 * Checks the number of pixels of all frames together, before any is decoded.
 * @throws AppError `image_too_many_pixels`
 */
export function checkPixels(
  { width, height, frames }: Pick<OpenedImage, 'width' | 'height' | 'frames'>,
  maxPixels: number,
): void {
  const pixels = width * height * frames
  if (pixels <= maxPixels) return
  const size = `${width} × ${height}${frames > 1 ? ` pixels in ${frames} frames` : ' pixels'}`
  throw new AppError('image_too_many_pixels', {
    message: `The image has ${size}, ${formatCount(pixels)} in total; the limit is ${formatCount(maxPixels)}.`,
    limit: maxPixels,
  })
}

/** Returns a number as it stands in messages: 100,000,000. */
export function formatCount(count: number): string {
  return count.toLocaleString('en-US')
}
