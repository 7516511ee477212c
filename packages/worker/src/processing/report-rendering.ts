import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import type { RenderImage } from '../decoders/render-image.ts'
import type { Report, UseInStep } from './report.ts'

/** The check that an image fails with each code. */
const checkOfCode: Partial<Record<ErrorCode, string>> = {
  image_too_many_pixels: 'pixels',
  image_too_complex: 'structure',
  image_not_supported: 'kind',
  image_too_large: 'memory',
  poison_file: 'decoder-limits',
}

/**
 * Makes rendering report what it does: its checks (`structure` and `pixels` before a pixel is decoded, `decoding`
 * afterwards), its progress, and what it used.
 *
 * @param use records what the step used
 */
export function reportRendering(render: RenderImage, report: Report, use: UseInStep): RenderImage {
  return async function renderImage(image, options) {
    const total = image.preset.variants.length
    let done = 0
    let isInspected = false
    const reach = () => report.reach({ step: 'rendering', ...(total > 0 && { done, total }) })
    try {
      const findings = await render(image, {
        ...options,
        onInspected(found) {
          isInspected = true
          report.check('structure', 'passed')
          report.check('pixels', 'passed')
          reach()
          options.onInspected(found)
        },
        emit(variant) {
          done += 1
          reach()
          options.emit(variant)
        },
        onUsed(used) {
          if (used.cpuMs !== undefined) use({ cpuMs: used.cpuMs })
          report.addLimits(used.limits)
          report.addTools(used.tools)
          options.onUsed?.(used)
        },
      })
      report.check('decoding', 'passed')
      return findings
    } catch (error) {
      if (error instanceof AppError && !error.retryable) {
        const name = checkOfCode[error.code] ?? (isInspected ? 'decoding' : 'structure')
        report.check(name, 'failed', causeOf(error))
      }
      throw error
    }
  }
}

/** Returns the first line of what a library or the system said. The sentence for the owner is in the manifest anyway. */
function causeOf({ cause }: AppError): string | undefined {
  return cause instanceof Error ? cause.message.split('\n', 1)[0] : undefined
}
