import { undefinedIfUnreadable } from '../connections/stored-json.ts'
import type { ErasedObject, ListErasable } from '../erasure/erase-objects.ts'
import type { Erasures } from '../erasure/erasures.ts'
import type { ImportQueue } from '../jobs/import-upload-job.ts'
import type { UploadQueue } from '../jobs/process-upload-job.ts'
import type { Upload } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { UploadRecords } from '../uploads/upload-records.ts'
import type { FinishErasure } from './finish-erasure.ts'

/** The objects that S3 had, all erased, and when a listing verified that nothing is left (ISO 8601). */
export type ErasureReceipt = { id: string; erased: ErasedObject[]; verifiedAt: string }

/** Erases uploads in this region; other regions follow when S3 has copied the marker (decision 0006). */
export function createEraseUpload(deps: {
  records: UploadRecords
  queue: Pick<UploadQueue, 'remove'>
  imports: Pick<ImportQueue, 'remove'>
  listErasable: ListErasable
  erasures: Pick<Erasures, 'mark'>
  finishErasure: FinishErasure
  /** Called with what the record was, if there was one. */
  onErased?: (upload: Upload) => Promise<void>
}) {
  const { records, queue, imports, listErasable, erasures, finishErasure, onErased } = deps

  /**
   * Writes the erasure marker to S3 before anything is deleted. After that, nothing restores the upload: no active job, no
   * late event, no bytes sent to a URL that was signed before, also if Redis loses its data. If the process dies, the event
   * of the marker lets a worker finish. A repeated call erases the objects that an interrupted one left.
   *
   * A worker handles the event of the marker at once, and may be the first to erase. So the objects are listed before the
   * marker is written: the receipt names them, whoever erases them. They are listed again afterwards: what arrived in
   * between is erased as well.
   */
  return async function eraseUpload({ owner, id }: UploadAddress): Promise<ErasureReceipt> {
    // Without its record, a waiting job is not removed. It finds the upload erased and ends.
    const [found, listed] = await Promise.all([
      records.find({ owner, id }).catch(undefinedIfUnreadable),
      listErasable({ owner, id }),
    ])
    await erasures.mark({ owner, id })
    await records.erase({ owner, id })
    const etag = found?.upload.arrival?.etag
    if (etag !== undefined) await queue.remove({ owner, id, etag })
    else await imports.remove({ owner, id })
    if (found) await onErased?.(found.upload)
    const erased = await finishErasure({ owner, id }, { listed })
    return { id, erased, verifiedAt: new Date().toISOString() }
  }
}

export type EraseUpload = ReturnType<typeof createEraseUpload>
