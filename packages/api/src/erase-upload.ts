import type { ErasedObject, EraseObjects } from '@millrace/shared/erase-objects.ts'
import type { ImportQueue } from '@millrace/shared/import-upload-job.ts'
import type { UploadAddress } from '@millrace/shared/object-keys.ts'
import type { UploadQueue } from '@millrace/shared/process-upload-job.ts'
import type { Quota } from '@millrace/shared/quota.ts'
import type { UploadRecords } from '@millrace/shared/upload-records.ts'

/** What was erased, and when a listing showed that nothing is left (ISO 8601). */
export type ErasureReceipt = { id: string; erased: ErasedObject[]; verifiedAt: string }

/** Erases uploads, for good. */
export function createEraseUpload(deps: {
  records: UploadRecords
  queue: UploadQueue
  imports: ImportQueue
  eraseObjects: EraseObjects
  quota: Quota
}) {
  const { records, queue, imports, eraseObjects, quota } = deps

  /**
   * That the upload is erased is remembered first: from then on nothing brings it back, neither a job that
   * is under way, nor a late event, nor bytes sent to a URL that was signed before. Done again it erases what
   * an erasure that broke off has left.
   */
  return async function eraseUpload({ owner, id }: UploadAddress): Promise<ErasureReceipt> {
    const found = await records.find({ owner, id })
    await records.erase({ owner, id })
    const etag = found?.upload.arrival?.etag
    if (etag !== undefined) await queue.remove({ id, etag })
    else await imports.remove({ id })
    const erased = await eraseObjects({ owner, id })
    await quota.release({ owner, id })
    return { id, erased, verifiedAt: new Date().toISOString() }
  }
}

export type EraseUpload = ReturnType<typeof createEraseUpload>
