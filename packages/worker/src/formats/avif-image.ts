import { inSrgb } from '../pixels/convert-colours.ts'
import type { OpenedImage, OpenLimits } from '../pixels/opened-image.ts'
import { asStillAvif } from '../structure/avif-structure.ts'
import { readHeifCicp } from '../structure/colour-coding.ts'
import { openLibvipsImage } from './libvips-image.ts'

/**
 * Reads the header of an AVIF. A sequence is shown by its first picture, which libvips opens if the file is declared as a
 * still image.
 *
 * @throws AppError `image_corrupt`, `image_not_supported`, `image_too_many_pixels`, `image_too_complex`
 */
export async function openAvifImage(
  kind: 'image/avif',
  file: Buffer,
  limits: OpenLimits,
): Promise<OpenedImage> {
  const { bytes, isSequence } = asStillAvif(file)
  const image = await openLibvipsImage(kind, bytes, limits)
  const opened = inSrgb(image, readHeifCicp(bytes))
  if (!isSequence) return opened
  return { ...opened, warnings: [...opened.warnings, 'The AVIF is a sequence; its first picture is used.'] }
}
