import type { ImportQueue } from '../jobs/import-upload-job.ts'
import type { UploadQueue } from '../jobs/process-upload-job.ts'
import type { ErasedObject, EraseObjects } from '../ledger/erase-objects.ts'
import type { Quota } from '../quotas/quota.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { UploadRecords } from '../uploads/upload-records.ts'

/** What was erased, and when a listing showed that nothing is left (ISO 8601). */
export type ErasureReceipt = { id: string; erased: ErasedObject[]; verifiedAt: string }

/**
 * Erases uploads, for good, in this region.
 *
 * @param deps.publishErasure tells other regions, which then do the same
 */
export function createEraseUpload(deps: {
  records: UploadRecords
  queue: UploadQueue
  imports: ImportQueue
  eraseObjects: EraseObjects
  quota: Quota
  publishErasure?: ((address: UploadAddress) => Promise<void>) | undefined
}) {
  const { records, queue, imports, eraseObjects, quota, publishErasure } = deps

  /**
   * That the upload is erased is remembered first: from then on nothing brings it back, neither a job that
   * is under way, nor a late event, nor bytes sent to a URL that was signed before. Done again it erases what
   * an erasure that broke off has left.
   *
   * Other regions are told last: once nothing is left here, S3 has nothing to copy to them any more.
   */
  return async function eraseUpload({ owner, id }: UploadAddress): Promise<ErasureReceipt> {
    const found = await records.find({ owner, id })
    await records.erase({ owner, id })
    const etag = found?.upload.arrival?.etag
    if (etag !== undefined) await queue.remove({ id, etag })
    else await imports.remove({ id })
    const erased = await eraseObjects({ owner, id })
    const verifiedAt = new Date().toISOString()
    await publishErasure?.({ owner, id })
    await quota.release({ owner, id })
    return { id, erased, verifiedAt }
  }
}

export type EraseUpload = ReturnType<typeof createEraseUpload>
