import type { Focus } from '@millrace/shared/presets/focus.ts'
import type { VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { isImageKind } from '@millrace/worker/formats/image-kind.ts'
import { openImage } from '@millrace/worker/formats/open-image.ts'
import { type RenderedVariant, renderVariants } from '@millrace/worker/images/render-variants.ts'
import { detectMediaType, typeHeadBytes } from '@millrace/worker/types/detect-type.ts'
import sharp from 'sharp'

/** Renders a file as a decoder does. @returns the findings of its pixels, and its variants by name */
export async function renderPreset(
  bytes: Buffer,
  variants: VariantRecipe[],
  { focus, maxPixels = 100_000_000 }: { focus?: Focus; maxPixels?: number } = {},
) {
  const kind = await detectMediaType(bytes.subarray(0, typeHeadBytes))
  if (!isImageKind(kind)) throw new Error(`not an image: ${kind}`)
  const image = await openImage(kind, bytes, { maxPixels })
  const rendered = new Map<string, RenderedVariant>()
  const findings = await renderVariants(
    image,
    { name: 'test', variants },
    {
      emit: (variant) => rendered.set(variant.recipe.name, variant),
      signal: new AbortController().signal,
      originalType: kind,
      focus,
      maxPixels,
    },
  )
  return { findings, rendered }
}

/** Renders one variant. @returns its bytes, which have the size that was announced */
export async function renderOne(
  bytes: Buffer,
  recipe: Omit<VariantRecipe, 'name'>,
  options?: { focus?: Focus; maxPixels?: number },
): Promise<Buffer> {
  const { rendered } = await renderPreset(bytes, [{ name: 'one', ...recipe }], options)
  const variant = rendered.get('one')
  if (!variant) throw new Error('no variant')
  const { width, height, pageHeight } = await sharp(variant.body, { animated: true }).metadata()
  if (width !== variant.width || (pageHeight ?? height) !== variant.height) {
    throw new Error(`${width} × ${pageHeight ?? height} is not ${variant.width} × ${variant.height}`)
  }
  return variant.body
}

/** Returns width × height of an encoded picture or of one frame. */
export async function sizeOf(body: Buffer): Promise<string> {
  const { width, height } = await sharp(body).metadata()
  return `${width}×${height}`
}

/** Returns red, green, blue and alpha of a pixel, as the file has them: profiles are not applied. */
export async function pixelAt(body: Buffer, x: number, y: number, page = 0): Promise<number[]> {
  const { data, info } = await sharp(body, { page, ignoreIcc: true })
    .ensureAlpha()
    .raw({ depth: 'uchar' })
    .toBuffer({ resolveWithObject: true })
  const at = (y * info.width + x) * info.channels
  return [...data.subarray(at, at + info.channels)]
}

/** Whether two colours differ by at most `tolerance` in each channel. */
export function isNear(one: number[], other: number[], tolerance = 12): boolean {
  return other.every((value, channel) => Math.abs(value - (one[channel] ?? -1000)) <= tolerance)
}
