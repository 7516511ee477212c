import { isUnreadable } from '../connections/stored-json.ts'
import type { UploadQueue } from '../jobs/process-upload-job.ts'
import type { Edits } from '../ledger/edits.ts'
import { AppError } from '../service/app-error.ts'
import type { WarnSeldom } from '../service/seldom-warning.ts'
import { arrivalGraceMs, openUploadLifeMs, type Upload } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { uploadIdTimeMs } from '../uploads/upload-id.ts'
import type { FoundUpload, StoredUpload, UploadRecords } from '../uploads/upload-records.ts'
import type { FinishErasure } from './finish-erasure.ts'
import type { ReadEvidence } from './read-evidence.ts'
import type { RemoveRejectedBytes } from './remove-rejected-bytes.ts'
import type { SettleOriginal } from './settle-original.ts'
import { deriveUpload } from './upload-truth.ts'

/** How often a check is repeated if another process changes the record meanwhile. */
const attempts = 8

/** The revision of an upload that was read from S3, because another version wrote its record in another form. */
export const unknownRevision = 0

/** An upload as S3 says, and whether S3 copied its original from another region, whose workers process it. */
export type CheckedUpload = StoredUpload & { isCopy: boolean }

/**
 * Checks uploads against S3: reads the evidence, derives what is true (`upload-truth.ts`), and corrects the record. Then
 * the record counts as checked until Redis' next epoch. A record that another version wrote in another form stays as it
 * is.
 *
 * @param deps.warnSeldom logs records that stay as they are
 */
export function createCheckUpload(deps: {
  records: UploadRecords
  readEvidence: ReadEvidence
  edits: Pick<Edits, 'delete'>
  settleOriginal: SettleOriginal
  queue: Pick<UploadQueue, 'add' | 'hasRoom'>
  finishErasure: FinishErasure
  removeRejectedBytes: RemoveRejectedBytes
  warnSeldom: WarnSeldom
}) {
  const { records, readEvidence, settleOriginal, queue, finishErasure, removeRejectedBytes, warnSeldom } =
    deps

  /**
   * @param options.takesCopy also adds a job for a copy of another region, which that region usually processes
   * @param options.versionId the version of an event. If S3 has another one, the file was sent several times
   * @param options.isBackfill its job starts when no other job waits
   * @returns the upload, or undefined if it does not exist or was erased
   * @throws AppError `conflict` if other processes keep changing the record, `unreadable_record` if this version cannot
   *   read the manifest, or cannot read the record and S3 has nothing of the upload
   */
  return async function checkUpload(
    address: UploadAddress,
    options: { takesCopy?: boolean; versionId?: string | undefined; isBackfill?: boolean } = {},
  ): Promise<CheckedUpload | undefined> {
    const { takesCopy = false, versionId, isBackfill = false } = options
    for (let attempt = 0; attempt < attempts; attempt++) {
      // The record is read first. If it changes while S3 is read, it is not replaced.
      const { found, unreadable } = await findRecord(address)
      const evidence = await readEvidence(address, found !== undefined)
      if (!evidence.isErased) {
        const known = evidence.manifest?.arrival ?? found?.upload.arrival
        evidence.original = await settleOriginal(address, evidence.original, { known, versionId })
      }
      const truth = deriveUpload(address, { ...evidence, record: found?.upload }, Date.now())
      if (truth.kind === 'erased') {
        const hasObjects = evidence.original !== undefined || evidence.manifest !== undefined
        if (hasObjects || !(await records.isErasureVerified(address))) await finishErasure(address)
        return undefined
      }
      if (truth.kind === 'absent') {
        if (unreadable) throw unreadable
        if (found && !(await records.forget(address, found))) continue
        // Without a record, its bytes may be on their way, unless it is too old.
        if (evidence.edit && (found || isTooOld(address))) await deps.edits.delete(address)
        return undefined
      }
      // Whoever finished the upload may have died between its manifest and this.
      if (truth.rejectedBytes) await removeRejectedBytes(address, truth.rejectedBytes)
      const stored = unreadable
        ? { upload: truth.upload, revision: unknownRevision }
        : await putChecked(found, truth.upload)
      if (stored === 'erased') {
        await finishErasure(address)
        return undefined
      }
      if (!stored) continue
      if (unreadable)
        warnSeldom('record-unreadable', unreadable, 'a record of another version is read from S3')
      const isCopy = evidence.original?.isCopy ?? false
      if (truth.needsJob && (takesCopy || !isCopy)) await addJob(truth.upload, isBackfill)
      return { ...stored, isCopy }
    }
    throw new AppError('conflict')
  }

  async function findRecord(
    address: UploadAddress,
  ): Promise<{ found?: FoundUpload | undefined; unreadable?: AppError }> {
    try {
      return { found: await records.find(address) }
    } catch (error) {
      if (!isUnreadable(error)) throw error
      return { unreadable: error }
    }
  }

  /**
   * @returns undefined if the record changed; `erased` if the upload was erased since S3 was read, or by an older version
   *   of Millrace, whose only marker is in Redis
   */
  async function putChecked(
    found: FoundUpload | undefined,
    upload: Upload,
  ): Promise<StoredUpload | 'erased' | undefined> {
    try {
      return await records.putChecked(found, upload)
    } catch (error) {
      if (error instanceof AppError && error.code === 'upload_not_found') return 'erased'
      throw error
    }
  }

  async function addJob({ owner, id, arrival, intent }: Upload, isBackfill: boolean): Promise<void> {
    // Without room, the message of the arrival adds the job later.
    if (!arrival || !(await queue.hasRoom(owner))) return
    const { traceparent } = intent
    await queue.add({ owner, id, etag: arrival.etag, ...(traceparent && { traceparent }) }, { isBackfill })
  }
}

/** Whether the bytes of an upload cannot arrive any more. */
function isTooOld({ id }: UploadAddress): boolean {
  return uploadIdTimeMs(id) + openUploadLifeMs + arrivalGraceMs < Date.now()
}

export type CheckUpload = ReturnType<typeof createCheckUpload>
