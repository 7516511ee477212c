import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Findings } from '@millrace/shared/uploads/upload.ts'
import { isImageKind } from '../formats/image-kind.ts'
import { openImage } from '../formats/open-image.ts'
import type { OpenedImage } from '../formats/opened-image.ts'
import { toolVersions } from '../formats/tool-versions.ts'
import { renderVariants } from '../images/render-variants.ts'
import type { DecoderAnswer } from './decoder-messages.ts'
import { serveDecoder } from './serve-decoder.ts'

/** The program of a decoder process: inspects and renders one image at a time. */
await serveDecoder(async ({ kind, preset, maxPixels, focus }, bytes, answer) => {
  let tools = toolVersions(kind, preset)
  try {
    if (!isImageKind(kind)) throw new Error(`${kind} is no image.`)
    const image = await openImage(kind, bytes, { maxPixels })
    tools = { ...tools, ...image.tools }
    answer({ type: 'inspected', findings: headerFindings(image) })
    const findings = await renderVariants(image, preset, {
      emit: ({ recipe, width, height, body }) =>
        answer({ type: 'variant', name: recipe.name, width, height }, body),
      originalType: kind,
      focus,
      maxPixels,
      // The worker kills the process to abort.
      signal: new AbortController().signal,
    })
    answer({ type: 'rendered', findings, tools })
  } catch (error) {
    answer(toAnswer(error, tools))
  }
})

function headerFindings({ width, height, frames, pages, warnings }: OpenedImage): Findings {
  return {
    width,
    height,
    ...(frames > 1 && { frames }),
    ...(pages > 1 && { pages }),
    ...(warnings.length > 0 && { warnings }),
  }
}

function toAnswer(error: unknown, tools: Record<string, string>): DecoderAnswer {
  if (!(error instanceof AppError)) return { type: 'broken', reason: reasonOf(error) }
  const { code, message, limit, cause } = error
  return {
    type: 'refused',
    code,
    message,
    ...(limit !== undefined && { limit }),
    ...(cause !== undefined && { reason: reasonOf(cause) }),
    tools,
  }
}

function reasonOf(error: unknown): string {
  return (error instanceof Error ? (error.stack ?? error.message) : String(error)).slice(0, 4_000)
}
