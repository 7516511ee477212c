import type { CompleteRecipe } from '@millrace/shared/presets/complete-recipe.ts'
import type { Focus } from '@millrace/shared/presets/focus.ts'
import type { Sharp } from 'sharp'
import { hasThumbnail } from '../tiff/exif-thumbnail.ts'
import type { Copyright } from './copyright.ts'
import { placeOf } from './place-of.ts'
import type { VariantPlan } from './variant-size.ts'
import { addWatermark, type WatermarkRasters } from './watermark.ts'

/** What a variant depends on besides its plan. */
export type DrawingContext = {
  /** The focal point of the upload. */
  focus: Focus | undefined
  /** Of the original. */
  copyright: Copyright | undefined
  watermarks: WatermarkRasters
}

/**
 * Turns a picture of the whole image into an encoded variant: scale, crop or pad, sharpen or blur, watermark, encode.
 *
 * @param picture one frame, or a column of frames; at least as large as the variant needs it
 */
export async function encodeVariant(
  picture: Sharp,
  plan: VariantPlan,
  context: DrawingContext,
): Promise<Buffer> {
  const { recipe } = plan
  let drawn = flattened(picture, recipe)
  drawn = fitted(drawn, plan, context.focus)
  if (recipe.sharpen !== undefined)
    drawn = recipe.sharpen === 'mild' ? drawn.sharpen() : drawn.sharpen({ sigma: recipe.sharpen })
  if (recipe.blur !== undefined) drawn = drawn.blur(recipe.blur)
  const { watermark } = recipe
  const mark = watermark && context.watermarks.get(watermark.image)
  if (mark) drawn = await addWatermark(drawn, mark, watermark, plan)
  const colored = await withColors(drawn, recipe)
  return encoded(await withMetadata(colored, recipe, context), recipe).toBuffer()
}

/** Replaces transparency by the background, where the format has none or the background is opaque. */
function flattened(picture: Sharp, { format, background }: CompleteRecipe): Sharp {
  if (format !== 'jpeg' && !background?.endsWith('ff')) return picture
  return picture.flatten({ background: background ?? '#ffffff' })
}

/** Scales a picture of the whole image, and crops or pads it. */
function fitted(picture: Sharp, { recipe, drawn, size }: VariantPlan, focus: Focus | undefined): Sharp {
  const { fit, position, format } = recipe
  if (fit === 'contain') {
    const { left, top } = placeOf(position, drawn, size)
    const padding = {
      left,
      top,
      right: size.width - drawn.width - left,
      bottom: size.height - drawn.height - top,
    }
    const background = recipe.background ?? (format === 'jpeg' ? '#ffffff' : '#00000000')
    return picture.resize({ ...drawn, fit: 'fill' }).extend({ ...padding, background })
  }
  if (fit !== 'cover') return picture.resize({ ...drawn, fit: 'fill' })
  // The picture is the whole image, so this crops exactly the overhang.
  if (position !== 'focus') return picture.resize({ ...size, fit: 'cover', position })
  const { x, y } = focus ?? { x: 0.5, y: 0.5 }
  const centred = (share: number, whole: number, part: number) =>
    Math.min(Math.max(0, Math.round(share * whole - part / 2)), whole - part)
  return picture.resize({ ...drawn, fit: 'fill' }).extract({
    ...size,
    left: centred(x, drawn.width, size.width),
    top: centred(y, drawn.height, size.height),
  })
}

async function withColors(picture: Sharp, { gamut, keepsProfile }: CompleteRecipe): Promise<Sharp> {
  if (gamut === 'p3') return (await wideColors(picture)).withIccProfile('p3')
  const converted = picture.toColourspace('srgb')
  return keepsProfile ? converted.withIccProfile('srgb') : converted
}

/**
 * Keeps the colours of a picture that sRGB does not have. sharp converts a picture with a profile to sRGB when it reads it,
 * but one of 16 bits to Display P3. It takes one of 16 bits without a profile for Display P3, which is wrong.
 */
async function wideColors(picture: Sharp): Promise<Sharp> {
  const { hasProfile, space } = await picture.metadata()
  const isRgb = space === 'srgb' || space === 'rgb' || space === 'rgb16'
  if (!isRgb) return picture
  return picture.pipelineColourspace(hasProfile ? 'rgb16' : 'srgb')
}

/** libvips would write a thumbnail beside the copyright. One that is still there cannot be removed, so nothing is kept then. */
async function withMetadata(
  picture: Sharp,
  { keepsCopyright }: CompleteRecipe,
  { copyright }: DrawingContext,
): Promise<Sharp> {
  if (!keepsCopyright || !copyright) return picture
  const { exif } = await picture.metadata()
  return hasThumbnail(exif) ? picture : picture.withExif({ IFD0: copyright })
}

function encoded(picture: Sharp, { format, quality, effort, isLossless }: CompleteRecipe): Sharp {
  const options = {
    ...(quality !== undefined && { quality }),
    ...(effort !== undefined && { effort }),
    ...(isLossless && { lossless: true }),
  }
  switch (format) {
    case 'webp':
      return picture.webp(options)
    case 'avif':
      return picture.avif(options)
    case 'jpeg':
      return picture.jpeg(options)
    case 'png':
      // With a quality, sharp would reduce the image to 256 colours.
      return picture.png()
  }
}
