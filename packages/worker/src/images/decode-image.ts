import { corruptImage } from './corrupt-image.ts'
import type { InspectedImage } from './inspect-image.ts'
import type { Raster, Size } from './raster.ts'
import { sharp } from './sharp-setup.ts'

/**
 * sharp's `failOn` levels. libjpeg fills unreadable areas with grey and only warns, even if the entropy-coded data is
 * clearly damaged ("premature end of data segment", "bad Huffman code"). So warnings must fail. Two warnings are
 * harmless, and phones and scanners write such files: a scan header whose spectral selection is not that of sequential
 * JPEG (sharp issue 1578, Samsung), and stray bytes between the segments before the first scan. A file with only these
 * warnings is decoded again leniently, which still fails for a truncated file.
 */
const strict = 'warning'
const lenient = 'error'

const harmlessWarning =
  /^VipsJpeg: (Invalid SOS parameters for sequential JPEG|Corrupt JPEG data: \d+ extraneous bytes before marker 0x(c[0-2]|d[bd]|e[0-9a-f]|fe))$/

/** A follow-up message of libvips, when another of its threads finds the decoder stopped. */
const followUpError = /^VipsJpeg: out of order read at line \d+$/

/**
 * Decodes an image: upright, sRGB, 8 bits per channel, at the given size. JPEG and WebP decode to a smaller size at a
 * lower cost.
 *
 * @param size exact size of the result in pixels, not larger than the image
 * @returns the first frame
 * @throws AppError `image_corrupt`
 */
export async function decodeImage(image: InspectedImage, size: Size): Promise<Raster> {
  return decodeWithFallback(image, async (failOn) => {
    const { data, info } = await sharp(image.bytes, { failOn, autoOrient: true })
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
  return decodeWithFallback(image, (failOn) =>
    sharp(image.bytes, { failOn, animated: true })
      .resize({ ...size, fit: 'fill' })
      .toColourspace('srgb')
      .webp(options)
      .toBuffer(),
  )
}

async function decodeWithFallback<Result>(
  image: InspectedImage,
  decode: (failOn: typeof strict | typeof lenient) => Promise<Result>,
): Promise<Result> {
  try {
    return await decode(strict).catch((error: unknown) => {
      if (!isHarmless(error)) throw error
      return decode(lenient)
    })
  } catch (error) {
    throw corruptImage(image.kind, image.bytes, error)
  }
}

function isHarmless(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const messages = error.message.split('\n').filter((line) => line.trim() !== '' && !followUpError.test(line))
  return messages.length > 0 && messages.every((line) => harmlessWarning.test(line.trim()))
}
