import { AppError } from '@millrace/shared/service/app-error.ts'
import { isImageKind } from '../images/image-kind.ts'
import { inspectImage } from '../images/inspect-image.ts'
import { renderVariants } from '../images/render-variants.ts'
import type { DecoderAnswer } from './decoder-messages.ts'
import { serveDecoder } from './serve-decoder.ts'

/** The program of a decoder process: inspects and renders one image at a time. */
await serveDecoder(async ({ kind, preset, maxPixels }, bytes, answer) => {
  try {
    if (!isImageKind(kind)) throw new Error(`${kind} is no image.`)
    const image = await inspectImage({ kind, bytes }, { maxPixels })
    answer({ type: 'inspected', width: image.width, height: image.height })
    const placeholder = await renderVariants(image, preset, {
      emit: ({ recipe, width, height, body }) =>
        answer({ type: 'variant', name: recipe.name, width, height }, body),
      // The worker kills the process to abort.
      signal: new AbortController().signal,
    })
    answer({ type: 'rendered', placeholder })
  } catch (error) {
    answer(toAnswer(error))
  }
})

function toAnswer(error: unknown): DecoderAnswer {
  if (!(error instanceof AppError)) return { type: 'broken', reason: reasonOf(error) }
  const { code, message, limit, cause } = error
  return {
    type: 'refused',
    code,
    message,
    ...(limit !== undefined && { limit }),
    ...(cause !== undefined && { reason: reasonOf(cause) }),
  }
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? (error.stack ?? error.message) : String(error)).slice(0, 4_000)
}
