import type { ImportQueue } from '../jobs/import-upload-job.ts'
import type { UploadQueue } from '../jobs/process-upload-job.ts'
import type { ErasedObject, EraseObjects } from '../ledger/erase-objects.ts'
import type { Quota } from '../quotas/quota.ts'
import { undefinedIfUnreadable } from '../service/stored-json.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { UploadRecords } from '../uploads/upload-records.ts'

/** The erased objects, and when a listing verified that nothing is left (ISO 8601). */
export type ErasureReceipt = { id: string; erased: ErasedObject[]; verifiedAt: string }

/**
 * Erases uploads in this region (decision 0006).
 *
 * @param deps.publishErasure notifies other regions, which then erase their copies
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
   * Records the erasure first. After that, nothing restores the upload: no active job, no late event, no
   * bytes sent to a URL that was signed before. A repeated call erases the objects that an interrupted one
   * left.
   *
   * Notifies other regions last. By then this region has no object that S3 could still copy to them.
   */
  return async function eraseUpload({ owner, id }: UploadAddress): Promise<ErasureReceipt> {
    // Without its record, a waiting job is not removed. It finds the upload erased and ends.
    const found = await records.find({ owner, id }).catch(undefinedIfUnreadable)
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
