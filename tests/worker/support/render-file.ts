import type { Preset, VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { type ImageKind, isImageKind } from '@millrace/worker/formats/image-kind.ts'
import { openImage } from '@millrace/worker/formats/open-image.ts'
import { renderVariants } from '@millrace/worker/images/render-variants.ts'
import type { OpenedImage } from '@millrace/worker/pixels/opened-image.ts'
import { detectMediaType, typeHeadBytes } from '@millrace/worker/types/detect-type.ts'
import sharp from 'sharp'

/** The result of `renderFile`. */
export type RenderedFile = {
  /** `ready` or the code of the error. */
  outcome: string
  message: string
  /** Width × height of the file. */
  size: string
  image: OpenedImage | undefined
  /** The variant, as PNG; empty if the file was rejected. */
  variant: Buffer
}

/**
 * Renders one PNG variant of a file, in this process.
 *
 * @param options.kind instead of the detected one
 * @param options.width of the variant, in pixels; its fit is `inside`, unless `fit` says otherwise
 */
export async function renderFile(
  bytes: Buffer,
  {
    kind,
    maxPixels = 100_000_000,
    ...recipe
  }: { kind?: ImageKind; maxPixels?: number } & Partial<Pick<VariantRecipe, 'width' | 'height' | 'fit'>> = {},
): Promise<RenderedFile> {
  const preset: Preset = {
    name: 'one',
    variants: [{ name: 'one', fit: 'inside', width: 20, format: 'png', quality: 80, ...recipe }],
  }
  const found = kind ?? (await detectMediaType(bytes.subarray(0, typeHeadBytes)))
  if (!isImageKind(found)) throw new Error(`not an image: ${found}`)
  const result: RenderedFile = {
    outcome: 'ready',
    message: '',
    size: '',
    image: undefined,
    variant: Buffer.alloc(0),
  }
  try {
    result.image = await openImage(found, bytes, { maxPixels })
    result.size = `${result.image.width}×${result.image.height}`
    await renderVariants(result.image, preset, {
      emit: ({ body }) => {
        result.variant = body
      },
      signal: new AbortController().signal,
    })
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    result.outcome = error.code
    result.message = error.message
  }
  return result
}

/** Returns red, green, blue and alpha of a pixel of an encoded picture. */
export async function pixelAt(encoded: Buffer, x: number, y: number): Promise<number[]> {
  const { data, info } = await sharp(encoded)
    .toColourspace('srgb')
    .ensureAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  const at = (y * info.width + x) * 4
  return [...data.subarray(at, at + 4)]
}
