import type { UploadQueue } from '../jobs/process-upload-job.ts'
import type { EraseObjects } from '../ledger/erase-objects.ts'
import type { Originals } from '../ledger/originals.ts'
import { type Arrival, isFinished, isSameArrival, type Upload } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { StoredUpload, UploadRecords } from '../uploads/upload-records.ts'
import type { UploadLookup } from './upload-lookup.ts'

/** A received upload, and whether S3 copied its original from another region, whose workers process it. */
export type ReceivedUpload = StoredUpload & { isCopy: boolean }

/**
 * Records arrivals. The callers are the handler of S3's events, the API after it completed an upload, and
 * reconciliation. Each may call twice, late, or for bytes that were replaced since. So the call is only a
 * hint, and the current object in S3 decides (decision 0002).
 */
export function createReceiveUpload(deps: {
  lookup: UploadLookup
  records: UploadRecords
  originals: Originals
  queue: UploadQueue
  eraseObjects: EraseObjects
}) {
  const { lookup, records, originals, queue, eraseObjects } = deps

  /**
   * Records the arrival and adds the job, in this order. A crash in between leaves a record without a job,
   * and the event or reconciliation calls again.
   *
   * A copy is only recorded: the region of the upload does the work, and its manifest is copied too.
   *
   * While Redis has no room for more jobs, none is added. The message of S3's event adds it later, as soon as a worker
   * receives it (decision 0022).
   *
   * @param options.arrival S3's response to the caller's own write; without it, S3 is read
   * @param options.takesCopy adds a job for a copy as well
   * @returns the upload, or undefined if S3 has no original or the upload was erased. Bytes that arrived
   *   after the erasure, through a URL signed before, are erased
   */
  return async function receiveUpload(
    address: UploadAddress,
    { arrival, takesCopy = false }: { arrival?: Arrival; takesCopy?: boolean } = {},
  ): Promise<ReceivedUpload | undefined> {
    if (await records.isErased(address)) {
      await eraseObjects(address)
      return undefined
    }
    const original = arrival ? { arrival, isCopy: false } : await originals.find(address)
    if (!original) {
      // A worker may already have rejected and deleted these bytes.
      const found = await lookup.find(address)
      return found?.upload.state === 'rejected' ? { ...found, isCopy: false } : undefined
    }
    const change = (current: Upload) => recordArrival(current, original.arrival)
    let stored = await records.update(address, change)
    // If Redis lost the record, the lookup restores it from S3.
    if (!stored && (await lookup.find(address))) stored = await records.update(address, change)
    const needsJob = takesCopy || !original.isCopy
    if (stored && needsJob && !isFinished(stored.upload) && (await queue.hasRoom())) {
      const { traceparent } = stored.upload.intent
      await queue.add({
        owner: address.owner,
        id: address.id,
        etag: original.arrival.etag,
        ...(traceparent && { traceparent }),
      })
    }
    return stored && { ...stored, isCopy: original.isCopy }
  }
}

export type ReceiveUpload = ReturnType<typeof createReceiveUpload>

/**
 * Returns the record after these bytes arrived, or undefined if they are already recorded. Other bytes reset
 * the upload, since the findings of the old ones do not apply.
 */
export function recordArrival(current: Upload, arrival: Arrival): Upload | undefined {
  if (current.arrival && isSameArrival(current.arrival, arrival)) return undefined
  const { error: _, expiresAt: __, multipart: ___, source: ____, tus: _____, ...rest } = current
  return { ...rest, state: 'received', arrival, findings: {}, variants: [] }
}
