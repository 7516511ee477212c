import { inSrgb } from '../pixels/convert-colours.ts'
import type { OpenedImage, OpenLimits } from '../pixels/opened-image.ts'
import { readPngColours } from '../structure/colour-coding.ts'
import { openLibvipsImage } from './libvips-image.ts'

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
