import { undefinedIfUnreadable } from '../connections/stored-json.ts'
import type { UploadQueue } from '../jobs/process-upload-job.ts'
import type { Originals } from '../ledger/originals.ts'
import { AppError } from '../service/app-error.ts'
import { noTracing, type Tracing } from '../tracing/tracing.ts'
import { type Arrival, isFinished, type Upload } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { FoundUpload, StoredUpload, UploadRecords } from '../uploads/upload-records.ts'
import type { CheckedUpload, CheckUpload } from './check-upload.ts'
import type { SettleOriginal } from './settle-original.ts'
import { recordArrival } from './upload-truth.ts'

/** How often an arrival is decided again, because another process recorded another one meanwhile. */
const attempts = 8

/**
 * Records arrivals. The callers are the handler of S3's events, the API after it completed an upload, and
 * reconciliation. Each may call twice, late, or for bytes that were replaced since. So the call is only a
 * hint, and the current object in S3 decides (decision 0002).
 */
export function createReceiveUpload(deps: {
  records: UploadRecords
  originals: Originals
  queue: Pick<UploadQueue, 'add' | 'hasRoom'>
  settleOriginal: SettleOriginal
  checkUpload: CheckUpload
  tracing?: Tracing | undefined
}) {
  const { records, originals, queue, settleOriginal, checkUpload, tracing = noTracing } = deps

  /**
   * Records the arrival and adds the job, in this order. A crash in between leaves a record without a job,
   * and the event calls again.
   *
   * A copy is only recorded: the region of the upload does the work, and its manifest is copied too.
   *
   * While Redis has no room for more jobs of the owner, none is added. The message of S3's event adds it later, as soon as a worker
   * receives it (decision 0022).
   *
   * @param options.arrival S3's response to the caller's own write; without it, S3 is read
   * @param options.versionId the version of an event. If S3 has another one, the file was sent several times
   *   (`settle-original.ts`)
   * @param options.takesCopy adds a job for a copy as well
   * @param options.trustsKnown neither reads S3 nor adds a job if the record already names the version of the event, as it does
   *   when the API stored the file. Only where the object cannot be a copy of another region's, and where the caller looks for the
   *   job later: whoever recorded the arrival may have stopped before it added the job
   * @returns the upload, or undefined if S3 has no original or the upload was erased. Bytes that arrived
   *   after the erasure, through a URL signed before, are erased
   * @throws AppError `conflict` if other processes keep changing the record
   */
  return async function receiveUpload(
    address: UploadAddress,
    options: {
      arrival?: Arrival
      versionId?: string | undefined
      takesCopy?: boolean
      trustsKnown?: boolean
    } = {},
  ): Promise<CheckedUpload | undefined> {
    const { arrival, versionId, takesCopy = false, trustsKnown = false } = options
    const startedAtMs = Date.now()
    for (let attempt = 0; attempt < attempts; attempt++) {
      const found = await records.find(address).catch(undefinedIfUnreadable)
      // Without a record that was checked in this epoch, only S3 knows whether the upload was erased or is finished.
      if (!found?.isChecked) return arrived(await checkUpload(address, { takesCopy, versionId }))
      const known = found.upload.arrival
      if (trustsKnown && versionId !== undefined && known?.versionId === versionId)
        return { ...found, isCopy: false }
      const original = arrival
        ? { arrival, isCopy: false }
        : await settleOriginal(address, await originals.find(address), { known, versionId })
      if (!original) {
        // A worker may already have rejected and deleted these bytes.
        const { state } = found.upload
        const isEnd = state === 'rejected' || state === 'awaiting'
        return isEnd ? arrived({ ...found, isCopy: false }) : checkUpload(address)
      }
      // While S3 was read, a worker may have finished the upload. Then the record is read again.
      const stored = await updateUnlessErased(address, original.arrival, {
        found,
        isOwnWrite: arrival !== undefined,
      })
      if (stored === 'changed') continue
      if (!stored) return arrived(await checkUpload(address, { takesCopy, versionId }))
      const needsJob = takesCopy || !original.isCopy
      if (needsJob && !isFinished(stored.upload) && (await queue.hasRoom(address.owner))) {
        const { traceparent } = stored.upload.intent
        const { owner, id } = address
        const job = { owner, id, etag: original.arrival.etag, ...(traceparent && { traceparent }) }
        const attributes = { 'millrace.upload.id': id }
        // Only now is the trace known.
        await tracing.within(traceparent, () =>
          tracing.span('receive upload', () => queue.add(job), { startedAtMs, attributes }),
        )
      }
      return { ...stored, isCopy: original.isCopy }
    }
    throw new AppError('conflict')
  }

  /**
   * @param options.isOwnWrite the caller wrote the bytes itself, so the record is not read again
   * @returns undefined if the upload was erased; `changed` if another process recorded another arrival since `found`
   */
  async function updateUnlessErased(
    address: UploadAddress,
    arrival: Arrival,
    { found, isOwnWrite }: { found: FoundUpload; isOwnWrite: boolean },
  ): Promise<StoredUpload | 'changed' | undefined> {
    const known = found.upload.arrival
    let isChanged = false
    const change = (current: Upload) => {
      isChanged =
        !isOwnWrite &&
        current.arrival?.versionId !== known?.versionId &&
        current.arrival?.versionId !== arrival.versionId
      return isChanged ? undefined : recordArrival(current, arrival)
    }
    try {
      const stored = await records.update(address, change, isOwnWrite ? { found } : {})
      return isChanged ? 'changed' : stored
    } catch (error) {
      if (error instanceof AppError && error.code === 'upload_not_found') return undefined
      throw error
    }
  }
}

function arrived(stored: CheckedUpload | undefined): CheckedUpload | undefined {
  return stored?.upload.state === 'awaiting' ? undefined : stored
}

export type ReceiveUpload = ReturnType<typeof createReceiveUpload>
