import type { CompleteRecipe } from '@millrace/shared/presets/complete-recipe.ts'
import type { Sharp } from 'sharp'
import { openRaster, type Raster, type Size } from '../pixels/raster.ts'
import { sharp } from '../pixels/sharp-setup.ts'
import { placeOf } from './place-of.ts'
import type { VariantPlan } from './variant-size.ts'

type Watermark = NonNullable<CompleteRecipe['watermark']>

/** Decoded pictures of watermarks by their base64. */
export type WatermarkRasters = ReadonlyMap<string, Raster>

/** Decodes the pictures of all watermarks, before the image is: they are not its fault if they are damaged. */
export async function decodeWatermarks(recipes: readonly CompleteRecipe[]): Promise<WatermarkRasters> {
  const images = new Set(recipes.flatMap(({ watermark }) => (watermark ? [watermark.image] : [])))
  return new Map(await Promise.all([...images].map(async (image) => [image, await decode(image)] as const)))
}

async function decode(image: string): Promise<Raster> {
  const { data, info } = await sharp(Buffer.from(image, 'base64'))
    .toColourspace('srgb')
    .ensureAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  return { data, width: info.width, height: info.height, channels: 4 }
}

/**
 * Draws a watermark onto a variant, and onto each frame of an animation.
 *
 * @param picture of the variant's size
 * @param decoded the watermark's picture
 */
export async function addWatermark(
  picture: Sharp,
  decoded: Raster,
  { position, opacity, scale, margin }: Watermark,
  { size, isAnimated }: VariantPlan,
): Promise<Sharp> {
  const edge = Math.round(margin * Math.min(size.width, size.height))
  const space = {
    width: Math.max(1, size.width - 2 * edge),
    height: Math.max(1, size.height - 2 * edge),
  }
  const { data, info } = await openRaster(decoded)
    .resize({
      width: Math.min(space.width, Math.max(1, Math.round(scale * size.width))),
      height: space.height,
      fit: 'inside',
    })
    .raw()
    .toBuffer({ resolveWithObject: true })
  for (let at = 3; at < data.length; at += 4) data[at] = Math.round((data[at] ?? 0) * opacity)
  const raw = { width: info.width, height: info.height, channels: 4 } as const
  const inner = placeOf(position, info, space)
  const place = { left: inner.left + edge, top: inner.top + edge }
  if (!isAnimated) return picture.composite([{ input: data, raw, ...withinSize(place, info, size) }])
  // The frames are one column, so a layer of one frame's size is repeated downwards.
  const layer = await sharp(data, { raw })
    .extend({
      ...place,
      right: size.width - info.width - place.left,
      bottom: size.height - info.height - place.top,
      background: '#00000000',
    })
    .raw()
    .toBuffer()
  return picture.composite([
    { input: layer, raw: { ...size, channels: 4 }, tile: true, gravity: 'northwest' },
  ])
}

/** A variant of a pixel or two has no room for edges. */
function withinSize({ left, top }: { left: number; top: number }, part: Size, whole: Size) {
  return {
    left: Math.max(0, Math.min(left, whole.width - part.width)),
    top: Math.max(0, Math.min(top, whole.height - part.height)),
  }
}
