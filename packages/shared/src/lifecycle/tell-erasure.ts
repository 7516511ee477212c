import type { Erasures } from '../erasure/erasures.ts'
import { manifestKey, originalKey } from '../ledger/object-keys.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { UploadRecords } from '../uploads/upload-records.ts'
import type { Outbox } from '../webhooks/outbox.ts'

/**
 * Tells webhooks of erasures. The event is written after the marker, so that the erasure is final, and before the objects are
 * deleted. So while S3 still has the upload, its event may be missing, and once S3 has nothing of it, the event was written.
 */
export function createTellErasure(deps: {
  records: Pick<UploadRecords, 'isErasureVerified'>
  erasures: Pick<Erasures, 'find'>
  outbox: Pick<Outbox, 'isWanted' | 'add' | 'announce'>
}) {
  const { records, erasures, outbox } = deps

  /**
   * Writes `upload.deleted` if this region erases the upload. A region to which S3 copied the marker does not.
   * @param keys the objects that S3 still has of the upload
   */
  return async function tellErasure(address: UploadAddress, keys: readonly string[]): Promise<void> {
    const type = 'upload.deleted'
    // Of one that never arrived, nothing was told.
    const hasArrived = keys.includes(originalKey(address)) || keys.includes(manifestKey(address))
    if (!hasArrived || !(await outbox.isWanted(type, address.owner))) return
    // What was written late, after the upload was erased, is not another erasure.
    if (await records.isErasureVerified(address)) return
    const marker = await erasures.find(address)
    if (!marker || marker.isCopy) return
    const event = await outbox.add({ type, upload: address, at: marker.markedAt, cause: '' })
    if (event) await outbox.announce(event)
  }
}

export type TellErasure = ReturnType<typeof createTellErasure>
