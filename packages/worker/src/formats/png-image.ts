import { readPngColours } from '../structure/colour-coding.ts'
import { inSrgb } from './convert-colours.ts'
import { openLibvipsImage } from './libvips-image.ts'
import type { OpenedImage, OpenLimits } from './opened-image.ts'

/**
 * Reads the header of a PNG.
 *
 * @throws AppError `image_corrupt`, `image_not_supported`, `image_too_many_pixels`, `image_too_complex`
 */
export async function openPngImage(
  kind: 'image/png',
  file: Buffer,
  limits: OpenLimits,
): Promise<OpenedImage> {
  return inSrgb(await openLibvipsImage(kind, file, limits), readPngColours(file))
}
