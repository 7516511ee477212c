import type { VariantRecipe } from '@millrace/shared/presets/preset.ts'
import type { Size } from './raster.ts'

/** The longest side that each format's encoder takes, in pixels: the VP8 frame header's, libjpeg's, libheif's. */
const maxSide = { webp: 16_383, jpeg: 65_500, avif: 16_384, png: 0x7fffffff } as const satisfies Record<
  VariantRecipe['format'],
  number
>

/** How a variant comes out of its image. */
export type VariantPlan = {
  recipe: VariantRecipe
  /** What the whole image is scaled by; at most 1, since nothing is enlarged. */
  scale: number
  /** Pixels of the variant itself: for `cover` what is left after the overhang is cut off. */
  size: Size
}

/**
 * Works out a variant's size. A box wider or higher than the format allows is cut down to what it allows, so
 * that a panorama gets its variants too.
 *
 * @param image pixels, as displayed
 */
export function planVariant(image: Size, recipe: VariantRecipe): VariantPlan {
  const limit = maxSide[recipe.format]
  const box = { width: Math.min(recipe.width, limit), height: Math.min(recipe.height ?? limit, limit) }
  const across = box.width / image.width
  const down = box.height / image.height
  if (recipe.fit === 'inside') {
    const scale = Math.min(across, down, 1)
    return { recipe, scale, size: scaled(image, scale) }
  }
  const scale = Math.min(Math.max(across, down), 1)
  const whole = scaled(image, scale)
  const size = { width: Math.min(box.width, whole.width), height: Math.min(box.height, whole.height) }
  return { recipe, scale, size }
}

/** A size scaled down and rounded, at least one pixel each way. */
export function scaled({ width, height }: Size, scale: number): Size {
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  }
}
