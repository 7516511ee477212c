import type { FinishedUploads } from '@millrace/shared/fleet/finished-uploads.ts'
import type { ProcessUploadJob } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Manifests } from '@millrace/shared/ledger/manifest.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import type { Presets } from '@millrace/shared/presets/preset.ts'
import { recipeVersion } from '@millrace/shared/presets/recipe-version.ts'
import { AppError, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import { isFinished, type UploadError } from '@millrace/shared/uploads/upload.ts'
import type { FinishUpload, Outcome } from './finish-upload.ts'
import type { Attempt } from './process-upload.ts'

/**
 * Finishes an upload as `failed` after the last attempt of its job, unless S3 has another outcome of the same bytes: an
 * attempt may have written the manifest and then lost Redis.
 *
 * @param deps.finishedUploads counts outcomes for the fleet's history
 */
export function createFailUpload(deps: {
  lookup: UploadLookup
  manifests: Manifests
  presets: Presets
  finishUpload: FinishUpload
  finishedUploads: Pick<FinishedUploads, 'add'>
}) {
  const { lookup, manifests, presets, finishUpload, finishedUploads } = deps

  /**
   * @param error of the last attempt
   * @param attempt the last attempt
   */
  return async function failUpload(
    job: ProcessUploadJob,
    error: unknown,
    { log, report }: Pick<Attempt, 'log' | 'report'>,
  ): Promise<void> {
    const stored = await lookup.find(job)
    const arrival = stored?.upload.arrival
    if (!stored || arrival?.etag !== job.etag || isFinished(stored.upload)) return
    const preset = presets.get(stored.upload.intent.preset)
    const failed: Outcome = {
      outcome: 'failed',
      recipe: preset ? recipeVersion(preset, stored.upload.intent.metadata) : 'none',
      findings: {},
      variants: [],
      error: publicError(error),
      evidence: report.evidence(error),
    }
    const manifest = await finishUpload.finish(
      stored.upload,
      arrival,
      failed,
      await manifests.readStored(job),
    )
    if (!manifest) return
    const { outcome } = manifest
    // Ignored: the count is for the operator only.
    finishedUploads.add({ outcome, bytes: arrival.size }).catch(() => undefined)
    if (outcome === 'failed') log.warn({ event: 'processed', outcome }, 'upload failed')
    else log.info({ event: 'already-processed', outcome }, 'already processed')
  }
}

export type FailUpload = ReturnType<typeof createFailUpload>

/** Returns the error for the owner: details for final errors, none for internal errors. */
function publicError(error: unknown): UploadError {
  if (error instanceof AppError && !error.retryable) return { code: error.code, message: error.message }
  return { code: 'processing_failed', message: errorCatalogue.processing_failed.message }
}
