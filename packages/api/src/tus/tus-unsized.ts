import { unknownSizeLimitBytes } from '@millrace/shared/parts/part-plan.ts'
import type { Quota } from '@millrace/shared/quotas/quota.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { maxFileBytesName, tooLarge } from '@millrace/shared/uploads/file-errors.ts'
import { openUploadLifeMs, type TusState, type Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { Caller } from '../credentials/caller.ts'

/** The limit of an upload's size in bytes, and the error of a larger one. */
export type SizeLimit = { limitBytes: number; exceeded: () => AppError }

/**
 * Uploads whose length their client declares later (tus 1.0.0, "creation-defer-length"). Until then every limit applies to
 * the bytes that come, and their quota is reserved before they are stored.
 *
 * @param deps.maxUploadBytes limit of a file's size, in bytes
 */
export function createUnsizedUploads(deps: {
  records: Pick<UploadRecords, 'update'>
  quota: Pick<Quota, 'resize'>
  maxUploadBytes: number
}) {
  const { records, quota, maxUploadBytes } = deps

  /** Returns the limit of an upload: its length, or all limits of one without a length. */
  function limitOf({ intent, tus }: Pick<Upload, 'intent' | 'tus'>): SizeLimit {
    const { size } = intent
    if (!tus?.unsized) return { limitBytes: size, exceeded: () => tooLarge(size) }
    const { maxBytes = Number.POSITIVE_INFINITY } = tus.unsized
    const limitBytes = Math.min(maxUploadBytes, unknownSizeLimitBytes)
    if (maxBytes < limitBytes) {
      return { limitBytes: maxBytes, exceeded: () => tooLarge(maxBytes, maxFileBytesName) }
    }
    return { limitBytes, exceeded: () => tooLarge(limitBytes) }
  }

  /** Reserves quota for more bytes of an upload without a length. @throws AppError as `quota.resize` does */
  async function reserve(address: UploadAddress, bytes: { from: number; to: number }): Promise<void> {
    await quota.resize(address, bytes, uploadIdTimeMs(address.id) + openUploadLifeMs)
  }

  return {
    limitOf,
    reserve,

    /**
     * Returns what the record keeps of an upload that is created without a length.
     *
     * @throws AppError `token_limit` if the caller's upload token counts bytes: the token of a later request may be another
     */
    begin(caller: Pick<Caller, 'limits'> | undefined): NonNullable<TusState['unsized']> {
      const { maxBytes, maxFileBytes } = caller?.limits ?? {}
      if (maxBytes !== undefined) {
        throw new AppError('token_limit', {
          message: 'maxBytes of the upload token requires Upload-Length; Upload-Defer-Length is not allowed.',
          fields: [{ field: 'upload-length', message: 'is required' }],
        })
      }
      return maxFileBytes === undefined ? {} : { maxBytes: maxFileBytes }
    },

    /**
     * Declares the length of an upload. Again with the same length it does nothing, since clients repeat the header.
     *
     * @param upload under its lock
     * @param progress.size the length, in bytes
     * @param progress.offset bytes that S3 has
     * @returns the upload with its length
     * @throws AppError `invalid_request` if the length differs from an earlier one or is less than the offset;
     *   `upload_too_large`, `quota_exceeded`, `quota_exhausted_today`; `upload_not_found` if it was erased meanwhile
     */
    async declare(upload: Upload, { size, offset }: { size: number; offset: number }): Promise<Upload> {
      if (!upload.tus?.unsized) {
        if (size === upload.intent.size) return upload
        throw invalidLength(`Upload-Length was declared as ${upload.intent.size} and cannot change.`)
      }
      if (size < offset) throw invalidLength(`Upload-Length is ${size}, but ${offset} bytes have arrived.`)
      const { limitBytes, exceeded } = limitOf(upload)
      if (size > limitBytes) throw exceeded()
      await reserve(upload, { from: offset, to: size })
      const changed = await records.update(upload, ({ tus, ...rest }) => {
        if (!tus) return undefined
        const { unsized: _, ...sized } = tus
        return { ...rest, intent: { ...rest.intent, size }, tus: sized }
      })
      if (!changed?.upload.tus) throw new AppError('upload_not_found')
      return changed.upload
    },
  }
}

export type UnsizedUploads = ReturnType<typeof createUnsizedUploads>

function invalidLength(message: string): AppError {
  return new AppError('invalid_request', {
    message,
    fields: [{ field: 'upload-length', message: 'is not the length of this upload' }],
  })
}
