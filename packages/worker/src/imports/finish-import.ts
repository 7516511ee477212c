import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { AppError, type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import type { UploadError } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'

/** The codes that end an import as `rejected`: asking again would not help, or not before somebody did something. */
const final: ReadonlySet<ErrorCode> = new Set([
  'source_refused',
  'source_not_found',
  'source_unusable',
  'source_too_slow',
  'size_mismatch',
  'upload_too_large',
  'quota_exceeded',
  'quota_exhausted_today',
])

/** Whether what was thrown says that the file cannot be had, or is not to be taken, now as later. */
export function endsImport(thrown: unknown): thrown is AppError {
  return thrown instanceof AppError && final.has(thrown.code)
}

/**
 * Ends imports of which no byte has arrived. There is no manifest, which speaks of bytes: the record alone says
 * how such an upload ended, as it alone said that there was one.
 */
export function createFinishImport({ records, quota }: { records: UploadRecords; quota: Quota }) {
  /**
   * @param state `rejected`: the day's quota keeps it; `failed`: it is as if it had not been announced
   */
  return async function finishImport(
    address: UploadAddress,
    state: 'rejected' | 'failed',
    thrown: unknown,
  ): Promise<void> {
    try {
      const stored = await records.update(address, (current) => {
        if (current.state !== 'awaiting' || !current.source) return undefined
        const { source: _, expiresAt: __, ...kept } = current
        return { ...kept, state, error: told(thrown) }
      })
      // Bytes came all the same, by an attempt that was believed lost.
      if (stored?.upload.arrival) return
    } catch (error) {
      // Erased meanwhile: nobody is left to be told.
      if (!(error instanceof AppError) || error.code !== 'upload_not_found') throw error
    }
    if (state === 'failed') await quota.cancel(address)
    else await quota.release(address)
  }
}

export type FinishImport = ReturnType<typeof createFinishImport>

/** What its owner is told: what a source did is said, all else only that it was our side. */
function told(thrown: unknown): UploadError {
  const isOfSource =
    thrown instanceof AppError && (final.has(thrown.code) || thrown.code === 'source_unavailable')
  if (isOfSource) return { code: thrown.code, message: thrown.message }
  return { code: 'processing_failed', message: errorCatalogue.processing_failed.message }
}
