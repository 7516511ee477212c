import type { ProcessUploadJob } from '@millrace/shared/jobs/process-upload-job.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { type Presets, recipeVersion } from '@millrace/shared/presets/preset.ts'
import { AppError, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import { isFinished, type UploadError } from '@millrace/shared/uploads/upload.ts'
import type { Logger } from 'pino'
import type { FinishUpload } from './finish-upload.ts'

/** Finishes an upload as `failed` after the last attempt of its job. */
export function createFailUpload(deps: {
  lookup: UploadLookup
  presets: Presets
  finishUpload: FinishUpload
}) {
  const { lookup, presets, finishUpload } = deps

  return async function failUpload(job: ProcessUploadJob, error: unknown, log: Logger): Promise<void> {
    const stored = await lookup.find(job)
    const arrival = stored?.upload.arrival
    if (!stored || arrival?.etag !== job.etag || isFinished(stored.upload)) return
    const preset = presets.get(stored.upload.intent.preset)
    await finishUpload.finish(stored.upload, arrival, {
      outcome: 'failed',
      recipe: preset ? recipeVersion(preset) : 'none',
      findings: {},
      variants: [],
      error: publicError(error),
    })
    log.warn({ event: 'processed', outcome: 'failed' }, 'upload failed')
  }
}

export type FailUpload = ReturnType<typeof createFailUpload>

/** Returns the error for the owner: details for final errors, none for internal errors. */
function publicError(error: unknown): UploadError {
  if (error instanceof AppError && !error.retryable) return { code: error.code, message: error.message }
  return { code: 'processing_failed', message: errorCatalogue.processing_failed.message }
}
