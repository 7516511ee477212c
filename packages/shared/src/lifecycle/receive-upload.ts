import type { UploadQueue } from '../jobs/process-upload-job.ts'
import type { EraseObjects } from '../ledger/erase-objects.ts'
import type { Originals } from '../ledger/originals.ts'
import { type Arrival, isFinished, isSameArrival, type Upload } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { StoredUpload, UploadRecords } from '../uploads/upload-records.ts'
import type { UploadLookup } from './upload-lookup.ts'

/**
 * What happens when bytes are said to have arrived, whoever says so: S3's event, the API that completed the
 * upload itself, or reconciliation. Each may say it twice, late, or of bytes that others have replaced since;
 * so the word is only a hint, and what S3 has at this moment is what counts.
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
   * Records the arrival and adds the job, in this order: a crash in between leaves a record without a job,
   * and whoever told of the arrival tells of it again.
   *
   * A copy is recorded only: the region where it was uploaded does the work, and its manifest is copied, too.
   *
   * @param options.arrival what S3 answered to whoever has just put the bytes there, so that it need not be asked
   * @param options.takesCopy does the work for a copy, too
   * @returns the upload, or undefined where S3 has no original for it, or it was erased: bytes that were sent
   *   all the same, to a URL signed before, are erased as well
   */
  return async function receiveUpload(
    address: UploadAddress,
    { arrival, takesCopy = false }: { arrival?: Arrival; takesCopy?: boolean } = {},
  ): Promise<StoredUpload | undefined> {
    if (await records.isErased(address)) {
      await eraseObjects(address)
      return undefined
    }
    const original = arrival ? { arrival, isCopy: false } : await originals.find(address)
    if (!original) {
      // A worker may have been faster: it had rejected these bytes, and deleted them.
      const known = await lookup.find(address)
      return known?.upload.state === 'rejected' ? known : undefined
    }
    const change = (current: Upload) => arrive(current, original.arrival)
    let stored = await records.update(address, change)
    // Redis has lost the record: S3 gives it back.
    if (!stored && (await lookup.find(address))) stored = await records.update(address, change)
    const isOurs = takesCopy || !original.isCopy
    if (stored && isOurs && !isFinished(stored.upload)) {
      const { traceparent } = stored.upload.intent
      await queue.add({
        owner: address.owner,
        id: address.id,
        etag: original.arrival.etag,
        ...(traceparent && { traceparent }),
      })
    }
    return stored
  }
}

export type ReceiveUpload = ReturnType<typeof createReceiveUpload>

/**
 * The record after these bytes arrived. The same bytes change nothing; others put the upload back to the
 * start, for what was found in the old ones says nothing about them.
 */
export function arrive(current: Upload, arrival: Arrival): Upload | undefined {
  if (current.arrival && isSameArrival(current.arrival, arrival)) return undefined
  const { error: _, expiresAt: __, multipart: ___, source: ____, tus: _____, ...kept } = current
  return { ...kept, state: 'received', arrival, findings: {}, variants: [] }
}
