import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Findings } from '@millrace/shared/uploads/upload.ts'
import { isImageKind } from '../formats/image-kind.ts'
import { openImage } from '../formats/open-image.ts'
import { mediaToolVersions, toolVersions } from '../formats/tool-versions.ts'
import { renderVariants } from '../images/render-variants.ts'
import type { OpenedImage } from '../pixels/opened-image.ts'
import { libvipsPeakBytes } from '../pixels/sharp-setup.ts'
import type { DecoderAnswer } from './decoder-messages.ts'
import { serveDecoder } from './serve-decoder.ts'

/** The program of a decoder process: renders one image, or examines one video or recording, at a time. */
await serveDecoder(async ({ kind, preset, maxPixels, focus, size, ffmpeg }, bytes, answer, readRange) => {
  const tools = size === undefined ? toolVersions(kind, preset) : mediaToolVersions()
  try {
    if (size !== undefined) {
      // Loaded with the first video, so that a decoder process starts fast.
      const { readMedia } = await import('../media/read-media.ts')
      await readMedia(
        { size, readRange },
        { takesFrame: ffmpeg !== undefined },
        {
          onFindings: (findings) => answer({ type: 'inspected', findings }),
          onPicture: ({ from, bytes }) => answer({ type: 'picture', from }, bytes),
        },
      )
      return answer({ type: 'rendered', findings: {}, tools })
    }
    if (!isImageKind(kind)) throw new Error(`${kind} is no image.`)
    const image = await openImage(kind, bytes, { maxPixels, ffmpeg })
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
    answer({ type: 'rendered', findings, tools, libvipsPeakBytes: libvipsPeakBytes() })
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
