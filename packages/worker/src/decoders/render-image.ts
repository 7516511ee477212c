import type { Preset, VariantRecipe } from '@millrace/shared/presets/preset.ts'
import { AppError, type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import type { ImageKind } from '../images/image-kind.ts'
import type { Size } from '../images/raster.ts'
import type { RenderedVariant } from '../images/render-variants.ts'
import type { DecoderAnswer } from './decoder-messages.ts'
import type { DecoderPool } from './decoder-pool.ts'
import type { JobEnd, JobLimits } from './decoder-process.ts'

/** What a caller gets while an image is rendered. */
export type RenderOptions = {
  /** Aborts the work; the decoder is killed. */
  signal: AbortSignal
  /** Receives the size as displayed, once the header passed inspection. */
  onInspected(size: Size): void
  /** Receives each variant once, as soon as it is encoded, largest first. */
  emit(variant: RenderedVariant): void
}

/**
 * Inspects and renders images in decoder processes. If a process dies with an image, the image is tried once more in a
 * new process, since the cause may be the process's age. If that dies too, the image is at fault.
 *
 * @param deps.maxPixels limit for all frames of an image
 */
export function createImageRenderer(deps: { pool: DecoderPool; limits: JobLimits; maxPixels: number }) {
  const { pool, limits, maxPixels } = deps

  /**
   * @param image.bytes the whole file
   * @returns the placeholder: a ThumbHash, base64
   * @throws AppError `poison_file` if its decoder died twice, `processing_failed` if something else killed the decoder,
   *   and what the decoder found: `image_corrupt`, `image_too_many_pixels` and others
   */
  return async function renderImage(
    { kind, bytes, preset }: { kind: ImageKind; bytes: Buffer; preset: Preset },
    { signal, onInspected, emit }: RenderOptions,
  ): Promise<string> {
    const recipes = new Map(preset.variants.map((recipe) => [recipe.name, recipe]))
    const onAnswer = (answer: DecoderAnswer, body: Buffer) => {
      if (answer.type === 'inspected') onInspected({ width: answer.width, height: answer.height })
      if (answer.type === 'variant') emitOnce(answer, body)
    }
    function emitOnce({ name, width, height }: Size & { name: string }, body: Buffer): void {
      const recipe: VariantRecipe | undefined = recipes.get(name)
      // The second process renders again what the first one had sent.
      if (recipe && recipes.delete(name)) emit({ recipe, width, height, body })
    }
    const input = { kind, preset, maxPixels, file: bytes }
    let end = await pool.run(input, { fresh: false, limits, signal, onAnswer })
    if (end.end === 'died') end = await pool.run(input, { fresh: true, limits, signal, onAnswer })
    return placeholderOf(end)
  }
}

export type RenderImage = ReturnType<typeof createImageRenderer>

function placeholderOf(end: JobEnd): string {
  switch (end.end) {
    case 'died':
      throw new AppError('poison_file', { cause: deathOf(end) })
    case 'killed':
      throw new AppError('processing_failed', { cause: deathOf(end) })
    case 'answered':
      switch (end.last.type) {
        case 'rendered':
          return end.last.placeholder
        case 'broken':
          throw new AppError('processing_failed', { cause: new Error(end.last.reason) })
        case 'refused': {
          const { code, message, limit, reason } = end.last
          if (!isErrorCode(code)) throw new AppError('processing_failed', { cause: new Error(code) })
          throw new AppError(code, {
            message,
            ...(limit !== undefined && { limit }),
            ...(reason !== undefined && { cause: new Error(reason) }),
          })
        }
      }
  }
}

function deathOf({ reason, errorOutput }: { reason: string; errorOutput: string }): Error {
  return new Error(`The decoder died. ${reason}${errorOutput && ` It wrote: ${errorOutput}`}`)
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorCatalogue, code)
}
