import type { VariantRecipe } from '@millrace/shared/presets/preset.ts'
import type { Size } from '../formats/raster.ts'

/** The longest side of each format, in pixels: limits of the VP8 frame header, libjpeg, libheif. */
const maxSide = { webp: 16_383, jpeg: 65_500, avif: 16_384, png: 0x7fffffff } as const satisfies Record<
  VariantRecipe['format'],
  number
>

/**
 * The largest picture that is drawn of a vector image, in pixels. One that fills the box of a variant may be thousands of
 * times as high as wide.
 */
const maxDrawnPixels = 25_000_000
const maxDrawnSide = 16_383

/** The computed scale and size of a variant. */
export type VariantPlan = {
  recipe: VariantRecipe
  /** Scale of the whole image; at most 1, since nothing is enlarged, except vector images, which are drawn in any size. */
  scale: number
  /** Size of the variant in pixels; for `cover`, after cropping. */
  size: Size
}

/**
 * Computes a variant's size. A box larger than the format's limit is reduced to the limit, so that panoramas get variants
 * too.
 *
 * @param image pixels, as displayed
 */
export function planVariant(image: Size & { isVector?: boolean }, recipe: VariantRecipe): VariantPlan {
  const limit = maxSide[recipe.format]
  const largest = image.isVector ? largestDrawnScale(image) : 1
  const box = { width: Math.min(recipe.width, limit), height: Math.min(recipe.height ?? limit, limit) }
  const across = box.width / image.width
  const down = box.height / image.height
  if (recipe.fit === 'inside') {
    const scale = Math.min(across, down, largest)
    return { recipe, scale, size: scaled(image, scale) }
  }
  const scale = Math.min(Math.max(across, down), largest)
  const full = scaled(image, scale)
  const size = { width: Math.min(box.width, full.width), height: Math.min(box.height, full.height) }
  return { recipe, scale, size }
}

function largestDrawnScale({ width, height }: Size): number {
  return Math.min(Math.sqrt(maxDrawnPixels / (width * height)), maxDrawnSide / Math.max(width, height))
}

/** Returns a scaled, rounded size of at least one pixel per side. */
export function scaled({ width, height }: Size, scale: number): Size {
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  }
}
