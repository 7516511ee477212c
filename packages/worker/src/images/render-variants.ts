import type { Preset, VariantRecipe } from '@millrace/shared/presets/preset.ts'
import type { Findings } from '@millrace/shared/uploads/upload.ts'
import type { OpenedImage } from '../formats/opened-image.ts'
import { openRaster, type Raster, type Size, shrinkRaster } from '../formats/raster.ts'
import { makePlaceholder, placeholderScale } from './placeholder.ts'
import { planVariant, scaled, type VariantPlan } from './variant-size.ts'

/** An encoded variant. */
export type RenderedVariant = Size & { recipe: VariantRecipe; body: Buffer }

/**
 * Renders all variants of a preset from one image. The image is decoded once, to the largest required size, and each
 * smaller size is made from the one before (measured: 20 % less CPU than decoding for each variant). So at most one
 * raster and one encoded variant are in memory here.
 *
 * Variants contain pixels only, without EXIF, GPS, XMP, IPTC and colour profiles. An animation stays animated if the
 * variant shows the whole image in an animated format. Any other variant shows its first frame.
 *
 * @param emit receives each variant as soon as it is encoded, largest first
 * @param signal aborts between two variants
 * @returns what only the pixels say: the placeholder
 * @throws AppError `image_corrupt`
 */
export async function renderVariants(
  image: OpenedImage,
  preset: Preset,
  { emit, signal }: { emit: (variant: RenderedVariant) => void; signal: AbortSignal },
): Promise<Pick<Findings, 'placeholder'>> {
  const plans = preset.variants.map((recipe) => planVariant(image, recipe)).sort((a, b) => b.scale - a.scale)
  let scale = Math.max(placeholderScale(image), ...plans.map((plan) => plan.scale))
  let raster = await decodeImage(image, scaled(image, scale))
  // A small image gives the same bytes for several variants. They are encoded once.
  const encoded = new Map<string, Buffer>()
  for (const plan of plans) {
    signal.throwIfAborted()
    if (plan.recipe.fit === 'inside' && plan.scale < scale) {
      scale = plan.scale
      raster = await shrinkRaster(raster, plan.size)
      encoded.clear()
    }
    const key = encodingKey(plan)
    const body = encoded.get(key) ?? (await encode(image, raster, plan))
    encoded.set(key, body)
    emit({ recipe: plan.recipe, ...plan.size, body })
  }
  return { placeholder: await makePlaceholder(raster) }
}

/** Everything that determines a variant's bytes for a given raster. */
function encodingKey({ recipe: { name: _, width: __, height: ___, ...settings }, scale, size }: VariantPlan) {
  return JSON.stringify({ ...settings, scale, size })
}

async function encode(image: OpenedImage, raster: Raster, { recipe, size }: VariantPlan): Promise<Buffer> {
  const { format, fit, quality, effort } = recipe
  const options = { quality, ...(effort !== undefined && { effort }) }
  if (image.frames > 1 && format === 'webp' && fit === 'inside') return encodeAnimation(image, size, options)
  // The raster is the whole image, so `cover` crops exactly the overhang, and for `inside` it changes nothing.
  const picture = openRaster(raster)
    .resize({ ...size, fit: 'cover' })
    .toColourspace('srgb')
  switch (format) {
    case 'webp':
      return picture.webp(options).toBuffer()
    case 'avif':
      return picture.avif(options).toBuffer()
    case 'jpeg':
      // JPEG has no transparency.
      return picture.flatten({ background: '#ffffff' }).jpeg({ quality }).toBuffer()
    case 'png':
      // With a quality, sharp would reduce the image to 256 colours.
      return picture.png().toBuffer()
  }
}

/** Decodes the first frame: sRGB, 8 bits per channel, at exactly the given size, which is not larger than the image. */
async function decodeImage(image: OpenedImage, size: Size): Promise<Raster> {
  return image.decode({ page: 0, isAnimated: false, size }, async (picture) => {
    const { data, info } = await picture
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
 */
async function encodeAnimation(
  image: OpenedImage,
  size: Size,
  options: { quality: number; effort?: number },
): Promise<Buffer> {
  return image.decode({ page: 0, isAnimated: true, size }, (picture) =>
    picture
      .resize({ ...size, fit: 'fill' })
      .toColourspace('srgb')
      .webp(options)
      .toBuffer(),
  )
}
