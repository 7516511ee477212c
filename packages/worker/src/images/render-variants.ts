import type { Preset, VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { decodeImage, encodeAnimation } from './decode-image.ts'
import type { InspectedImage } from './inspect-image.ts'
import { makePlaceholder, placeholderScale } from './placeholder.ts'
import { openRaster, type Raster, type Size, shrinkRaster } from './raster.ts'
import { planVariant, scaled, type VariantPlan } from './variant-size.ts'

/** A variant, encoded. */
export type RenderedVariant = Size & { recipe: VariantRecipe; body: Buffer }

/**
 * Makes all of a preset's variants out of one image. The image is decoded once, to the largest size that is
 * needed, and each further size is made from the one before (measured: a fifth less CPU than decoding for
 * each variant). So there is never more than one raster, and one encoded variant, in memory here.
 *
 * Variants carry pixels only: EXIF, GPS, XMP, IPTC and colour profiles are left behind. An animation stays
 * one where the variant shows the whole picture in a format that can move; any other variant is of its
 * first frame.
 *
 * @param emit is given each variant as soon as it is encoded, largest first
 * @param signal ends the work between two variants
 * @returns the placeholder: a ThumbHash, base64
 * @throws AppError `image_corrupt`
 */
export async function renderVariants(
  image: InspectedImage,
  preset: Preset,
  { emit, signal }: { emit: (variant: RenderedVariant) => void; signal: AbortSignal },
): Promise<string> {
  const plans = preset.variants.map((recipe) => planVariant(image, recipe)).sort((a, b) => b.scale - a.scale)
  let scale = Math.max(placeholderScale(image), ...plans.map((plan) => plan.scale))
  let raster = await decodeImage(image, scaled(image, scale))
  // A small image gives the same bytes for several names; they are encoded once.
  const encoded = new Map<string, Buffer>()
  for (const plan of plans) {
    signal.throwIfAborted()
    if (plan.recipe.fit === 'inside' && plan.scale < scale) {
      scale = plan.scale
      raster = await shrinkRaster(raster, plan.size)
      encoded.clear()
    }
    const outcome = outcomeOf(plan)
    const body = encoded.get(outcome) ?? (await encode(image, raster, plan))
    encoded.set(outcome, body)
    emit({ recipe: plan.recipe, ...plan.size, body })
  }
  return makePlaceholder(raster)
}

/** All that decides a variant's bytes, once its raster is given. */
function outcomeOf({ recipe: { name: _, width: __, height: ___, ...settings }, scale, size }: VariantPlan) {
  return JSON.stringify({ ...settings, scale, size })
}

async function encode(image: InspectedImage, raster: Raster, { recipe, size }: VariantPlan): Promise<Buffer> {
  const { format, fit, quality, effort } = recipe
  const options = { quality, ...(effort !== undefined && { effort }) }
  if (image.frames > 1 && format === 'webp' && fit === 'inside') return encodeAnimation(image, size, options)
  // The raster is the whole picture, so `cover` cuts off exactly what hangs over and `inside` changes nothing.
  const picture = openRaster(raster)
    .resize({ ...size, fit: 'cover' })
    .toColourspace('srgb')
  switch (format) {
    case 'webp':
      return picture.webp(options).toBuffer()
    case 'avif':
      return picture.avif(options).toBuffer()
    case 'jpeg':
      // JPEG knows no transparency.
      return picture.flatten({ background: '#ffffff' }).jpeg({ quality }).toBuffer()
    case 'png':
      // A quality would turn the picture into one of 256 colours.
      return picture.png().toBuffer()
  }
}
