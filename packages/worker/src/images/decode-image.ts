import { corruptImage } from './corrupt-image.ts'
import type { InspectedImage } from './inspect-image.ts'
import type { Raster, Size } from './raster.ts'
import { sharp } from './sharp-setup.ts'

/**
 * How much a decoder takes amiss. libjpeg fills what it cannot read with grey and merely warns, also where
 * the entropy-coded data are plainly damaged ("premature end of data segment", "bad Huffman code"); so
 * warnings must count. Two of them say nothing about the picture, and phones and scanners are known to write
 * such files: a scan header whose spectral selection is not the one of sequential JPEG (sharp issue 1578, Samsung),
 * and stray bytes between the segments before the first scan. A file with only these is decoded again, where
 * a truncated one still fails.
 */
const strict = 'warning'
const lenient = 'error'

const harmlessWarning =
  /^VipsJpeg: (Invalid SOS parameters for sequential JPEG|Corrupt JPEG data: \d+ extraneous bytes before marker 0x(c[0-2]|d[bd]|e[0-9a-f]|fe))$/

/** What libvips adds when another of its threads finds the decoder stopped. */
const consequence = /^VipsJpeg: out of order read at line \d+$/

/**
 * Decodes an image, once: upright, in sRGB with 8 bits a channel, and already no larger than asked for,
 * since JPEG and WebP decode to a smaller size at less cost.
 *
 * @param size pixels, no larger than the image; the image is brought to exactly this size
 * @returns the first frame
 * @throws AppError `image_corrupt`
 */
export async function decodeImage(image: InspectedImage, size: Size): Promise<Raster> {
  return decodeTolerantly(image, async (failOn) => {
    const { data, info } = await sharp(image.bytes, { failOn, autoOrient: true })
      .resize({ ...size, fit: 'fill' })
      .toColourspace('srgb')
      .raw({ depth: 'uchar' })
      .toBuffer({ resolveWithObject: true })
    return { data, width: info.width, height: info.height, channels: info.channels }
  })
}

/**
 * Makes an animated WebP of all frames. Animations are decoded for each variant anew: the frames of a long
 * one, kept decoded, would take more memory than all else together.
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
  return decodeTolerantly(image, (failOn) =>
    sharp(image.bytes, { failOn, animated: true })
      .resize({ ...size, fit: 'fill' })
      .toColourspace('srgb')
      .webp(options)
      .toBuffer(),
  )
}

async function decodeTolerantly<Result>(
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
  const causes = error.message.split('\n').filter((line) => line.trim() !== '' && !consequence.test(line))
  return causes.length > 0 && causes.every((line) => harmlessWarning.test(line.trim()))
}
