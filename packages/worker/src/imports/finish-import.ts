import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { AppError, type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import type { Upload, UploadError } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { TellImport } from './tell-import.ts'

/** The codes that finish an import as `rejected`, since a retry would not help. */
const finalCodes: ReadonlySet<ErrorCode> = new Set([
  'source_refused',
  'source_not_found',
  'source_unusable',
  'source_too_slow',
  'size_mismatch',
  'upload_too_large',
  'quota_exceeded',
  'quota_exhausted_today',
])

/** Whether a thrown error is final: the file cannot be downloaded or must not be accepted. */
export function isFinalImportError(thrown: unknown): thrown is AppError {
  return thrown instanceof AppError && finalCodes.has(thrown.code)
}

/**
 * Finishes imports without any bytes. They have no manifest, since a manifest describes bytes. Only the record stores
 * their outcome.
 */
export function createFinishImport(deps: { records: UploadRecords; quota: Quota; tellImport: TellImport }) {
  const { records, quota, tellImport } = deps

  /** @param state `rejected` still counts for the day's quota; `failed` does not */
  return async function finishImport(
    address: UploadAddress,
    state: 'rejected' | 'failed',
    thrown: unknown,
  ): Promise<void> {
    let finished: Upload | undefined
    try {
      const stored = await records.update(address, (current) => {
        if (current.state !== 'awaiting' || !current.source) return undefined
        const { source: _, expiresAt: __, ...rest } = current
        return { ...rest, state, error: publicError(thrown) }
      })
      // An earlier attempt that was considered lost has stored the bytes.
      if (stored?.upload.arrival) return
      finished = stored?.upload
    } catch (error) {
      // The upload was erased meanwhile.
      if (!(error instanceof AppError) || error.code !== 'upload_not_found') throw error
    }
    if (state === 'failed') await quota.cancel(address)
    else await quota.release(address)
    if (finished) await tellImport(finished)
  }
}

export type FinishImport = ReturnType<typeof createFinishImport>

/** Returns the error for the owner: details for errors of the source, none for internal errors. */
function publicError(thrown: unknown): UploadError {
  const isOfSource =
    thrown instanceof AppError && (finalCodes.has(thrown.code) || thrown.code === 'source_unavailable')
  if (isOfSource) return { code: thrown.code, message: thrown.message }
  return { code: 'processing_failed', message: errorCatalogue.processing_failed.message }
}
