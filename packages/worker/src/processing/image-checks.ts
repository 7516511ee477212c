import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import type { Report } from './report.ts'

/** The check that an image fails with each code. */
const checkOfCode: Partial<Record<ErrorCode, string>> = {
  image_too_many_pixels: 'pixels',
  image_too_complex: 'structure',
  image_not_supported: 'kind',
  image_too_large: 'memory',
  poison_file: 'decoder-limits',
}

/**
 * Runs the inspection of an image, and records its checks: `structure` and `pixels` before a pixel is decoded, `decoding`
 * afterwards.
 *
 * @param run gets a function to call when the header has passed
 */
export async function withImageChecks<Result>(
  report: Report,
  run: (onInspected: () => void) => Promise<Result>,
): Promise<Result> {
  let isInspected = false
  try {
    const result = await run(() => {
      isInspected = true
      report.check('structure', 'passed')
      report.check('pixels', 'passed')
    })
    report.check('decoding', 'passed')
    return result
  } catch (error) {
    if (error instanceof AppError && !error.retryable) {
      const name = checkOfCode[error.code] ?? (isInspected ? 'decoding' : 'structure')
      report.check(name, 'failed', causeOf(error))
    }
    throw error
  }
}

/** Returns the first line of what a library or the system said. The sentence for the owner is in the manifest anyway. */
function causeOf({ cause }: AppError): string | undefined {
  return cause instanceof Error ? cause.message.split('\n', 1)[0] : undefined
}
