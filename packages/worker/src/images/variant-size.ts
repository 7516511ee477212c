import type { CompleteRecipe } from '@millrace/shared/presets/complete-recipe.ts'
import type { EncodedFormat } from '@millrace/shared/presets/preset.ts'
import type { Size } from '../pixels/raster.ts'

/** The longest side of each format, in pixels: limits of the VP8 frame header, libjpeg, libheif. */
const maxSide = { webp: 16_383, jpeg: 65_500, avif: 16_384, png: 0x7fffffff } as const satisfies Record<
  EncodedFormat,
  number
>

/** The most pixels that an image is enlarged to, and that a variant's frames have together. As many as an original has. */
const maxDrawnPixels = 100_000_000

/**
 * The largest picture that is drawn of a vector image, in pixels. One that fills the box of a variant may be thousands of
 * times as high as wide.
 */
const maxVectorPixels = 25_000_000
const maxVectorSide = 16_383

/** What the size of a variant depends on. Width and height in pixels, as displayed. */
export type SizedImage = Size & {
  /** Frames of an animation; 1 by default. */
  frames?: number
  /** Drawn in any size without a loss. */
  isVector?: boolean
}

/** The computed scale and size of a variant. */
export type VariantPlan = {
  recipe: CompleteRecipe
  /** Scale of the whole image that is needed to draw it; above 1 for vector images only. */
  scale: number
  /** Size of the whole image in the variant, before it is cropped or padded. In pixels. */
  drawn: Size
  /** Size of the variant in pixels. */
  size: Size
  /** Whether it shows all frames. */
  isAnimated: boolean
}

/**
 * Computes a variant's size. A box larger than the format's limit is reduced to the limit, so that panoramas get variants
 * too.
 */
export function planVariant(image: SizedImage, recipe: CompleteRecipe): VariantPlan {
  const { frames = 1, isVector = false } = image
  const { drawn, size } = drawnSize(image, recipe)
  const scale = Math.max(drawn.width / image.width, drawn.height / image.height)
  const pixels = image.width * image.height
  const mayAnimate = size.width * size.height * frames <= Math.max(maxDrawnPixels, pixels * frames)
  return {
    recipe,
    scale: isVector ? scale : Math.min(scale, 1),
    drawn,
    size,
    isAnimated: recipe.isAnimated && frames > 1 && mayAnimate,
  }
}

function drawnSize(image: SizedImage, recipe: CompleteRecipe): { drawn: Size; size: Size } {
  const { fit } = recipe
  const limit = maxSide[recipe.format]
  const box = {
    width: Math.min(recipe.width ?? limit, limit),
    height: Math.min(recipe.height ?? limit, limit),
  }
  const mayEnlarge = image.isVector === true || !recipe.withoutEnlargement
  if (fit === 'fill') {
    const size = {
      width: mayEnlarge ? box.width : Math.min(box.width, image.width),
      height: mayEnlarge ? box.height : Math.min(box.height, image.height),
    }
    return { drawn: size, size }
  }
  const scale = Math.min(wantedScale(image, recipe, box), largestScale(image, mayEnlarge))
  if (fit === 'cover') {
    const drawn = scaled(image, scale)
    const size = { width: Math.min(box.width, drawn.width), height: Math.min(box.height, drawn.height) }
    return { drawn, size }
  }
  const drawn = scaled(image, Math.min(scale, limit / image.width, limit / image.height))
  return { drawn, size: fit === 'contain' ? box : drawn }
}

/** Returns the scale at which an image has the size that its box asks for; 1 without a box. */
function wantedScale(image: Size, { fit, width, height }: CompleteRecipe, box: Size): number {
  const scales = [
    ...(width === undefined ? [] : [box.width / image.width]),
    ...(height === undefined ? [] : [box.height / image.height]),
  ]
  if (scales.length === 0) return 1
  return fit === 'inside' || fit === 'contain' ? Math.min(...scales) : Math.max(...scales)
}

/** Returns the scale beyond which an image is not drawn. */
function largestScale({ width, height, isVector }: SizedImage, mayEnlarge: boolean): number {
  if (isVector) {
    return Math.min(Math.sqrt(maxVectorPixels / (width * height)), maxVectorSide / Math.max(width, height))
  }
  return mayEnlarge ? Math.max(1, Math.sqrt(maxDrawnPixels / (width * height))) : 1
}

/** Returns a scaled, rounded size of at least one pixel per side. */
export function scaled({ width, height }: Size, scale: number): Size {
  return {
    width: Math.max(1, Math.round(width * scale)),
    height: Math.max(1, Math.round(height * scale)),
  }
}
