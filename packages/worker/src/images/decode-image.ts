import { repairImage } from '../structure/image-structure.ts'
import { corruptImage } from './corrupt-image.ts'
import type { InspectedImage } from './inspect-image.ts'
import type { Raster, Size } from './raster.ts'
import { sharp } from './sharp-setup.ts'

/**
 * sharp's `failOn` level. libjpeg fills unreadable areas with grey and only warns, even if the entropy-coded data is
 * clearly damaged. So warnings must fail. Some warnings are about harmless oddities, which phones and scanners write. A
 * file that fails is decoded again without its oddities (`repairImage`): if a warning remains, the image is damaged. No text
 * of a library is compared, and nothing damaged hides behind a harmless remark.
 */
const failOn = 'warning'

/**
 * Decodes an image: upright, sRGB, 8 bits per channel, at the given size. JPEG and WebP decode to a smaller size at a
 * lower cost.
 *
 * @param size exact size of the result in pixels, not larger than the image
 * @returns the first frame
 * @throws AppError `image_corrupt`
 */
export async function decodeImage(image: InspectedImage, size: Size): Promise<Raster> {
  return decodeStrictly(image, async (bytes) => {
    const { data, info } = await sharp(bytes, { failOn, autoOrient: true })
      .resize({ ...size, fit: 'fill' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    return { data, width: info.width, height: info.height, channels: info.channels }
  })
}

/**
 * Encodes all frames as an animated WebP. An animation is decoded again for each variant, since its decoded frames would
 * need more memory than everything else together.
 *
 * @param size of one frame, in pixels
 * @param options quality 1–100, effort 0–6
 * @throws AppError `image_corrupt`
 */
export async function encodeAnimation(
  image: InspectedImage,
  size: Size,
  options: { quality: number; effort?: number },
): Promise<Buffer> {
  return decodeStrictly(image, (bytes) =>
    sharp(bytes, { failOn, animated: true })
      .resize({ ...size, fit: 'fill' })
      .toColourspace('srgb')
      .webp(options)
      .toBuffer(),
  )
}

/** Decodes the file, or else a repaired copy, which then replaces the file. */
async function decodeStrictly<Result>(
  image: InspectedImage,
  decode: (bytes: Buffer) => Promise<Result>,
): Promise<Result> {
  const { kind, bytes } = image
  try {
    return await decode(bytes)
  } catch (error) {
    const repaired = repairImage(kind, bytes)
    // The first error is the one to report.
    const result = repaired && (await decode(repaired).catch(() => undefined))
    if (result === undefined) throw corruptImage(kind, bytes, error)
    image.bytes = repaired ?? bytes
    return result
  }
}
