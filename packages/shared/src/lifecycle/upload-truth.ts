import { type Manifest, rejectsBytes, uploadFromManifest } from '../ledger/manifest.ts'
import type { Original } from '../ledger/originals.ts'
import {
  type Arrival,
  hasExpired,
  isFinished,
  isSameArrival,
  type Upload,
  type UploadEdit,
  withEdit,
} from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { uploadIdTimeMs } from '../uploads/upload-id.ts'

/** What S3 and Redis have of an upload at one moment. Only the record may be wrong, since Redis may lose changes. */
export type Evidence = {
  /** Whether S3 has the erasure marker. */
  isErased: boolean
  original?: Original | undefined
  manifest?: Manifest | undefined
  /** What was changed since the file was announced. */
  edit?: UploadEdit | undefined
  /** The awaiting upload of an announcement whose multipart upload is open. Only read if Redis has no record. */
  announced?: Upload | undefined
  /** The record in Redis. */
  record?: Upload | undefined
}

/**
 * What is true of an upload, and what remains to be done:
 *
 *   erased    it must not exist: whatever S3 still has of it is erased, and the record is deleted
 *   absent    it does not exist: the record is deleted
 *   upload    it exists. `needsJob`: its bytes have arrived, and no manifest describes them yet. `rejectedBytes`: its
 *             manifest rejects these bytes, and they are still there
 */
export type Truth =
  | { kind: 'erased' }
  | { kind: 'absent' }
  | { kind: 'upload'; upload: Upload; needsJob: boolean; rejectedBytes?: Arrival }

/**
 * Derives the state of an upload from the evidence. Only this function decides it; lookup, arrival, reconciliation and
 * processing all act on its result. In this order:
 *
 * 1. An erasure marker is final.
 * 2. The original decides which bytes are the upload's. If a manifest describes these bytes, the upload is finished, as
 *    the manifest says. Otherwise a job is needed, and the record says only how far its work is.
 * 3. Without an original, a manifest still tells the end: rejected bytes are deleted.
 * 4. Without both, only the record or the announcement knows the upload: its bytes may still arrive, or its import ended
 *    without any.
 *
 * Of an upload that exists, an edit says filename and metadata, whatever the other evidence says.
 *
 * @param nowMs ms since 1970
 */
export function deriveUpload(address: UploadAddress, evidence: Evidence, nowMs: number): Truth {
  const truth = deriveUnedited(address, evidence, nowMs)
  // S3 may have lost an edit that was deleted by hand. Redis' own stays then.
  const edit = evidence.edit ?? evidence.record?.edit
  return truth.kind === 'upload' ? { ...truth, upload: withEdit(truth.upload, edit) } : truth
}

function deriveUnedited(address: UploadAddress, evidence: Evidence, nowMs: number): Truth {
  const { isErased, original, manifest, announced } = evidence
  const record = evidence.record ?? announced
  if (isErased) return { kind: 'erased' }
  if (original) {
    if (manifest && isSameArrival(manifest.arrival, original.arrival)) {
      // A copy of another region's manifest may have another etag than the copied original.
      const upload = { ...uploadFromManifest(manifest), arrival: original.arrival }
      const { arrival } = original
      return {
        kind: 'upload',
        upload,
        needsJob: false,
        ...(rejectsBytes(manifest) && { rejectedBytes: arrival }),
      }
    }
    return { kind: 'upload', upload: unfinishedUpload(address, original, record), needsJob: true }
  }
  if (manifest) return { kind: 'upload', upload: uploadFromManifest(manifest), needsJob: false }
  if (record && isKnownToRedisOnly(record, nowMs)) return { kind: 'upload', upload: record, needsJob: false }
  return { kind: 'absent' }
}

/** Whether Redis alone may know an upload: its bytes may still arrive, or its import ended without any. */
function isKnownToRedisOnly(record: Upload, nowMs: number): boolean {
  const isAwaited = record.state === 'awaiting' && !hasExpired(record, nowMs)
  return isAwaited || (isFinished(record) && record.arrival === undefined)
}

function unfinishedUpload(address: UploadAddress, original: Original, record: Upload | undefined): Upload {
  if (!record) return uploadFromOriginal(address, original)
  const arrived = recordArrival(record, original.arrival) ?? record
  // Redis may say of bytes without a manifest that they are finished, for example if the manifest was deleted by hand.
  const isUnderWay = arrived.state === 'received' || arrived.state === 'processing'
  return isUnderWay ? arrived : withoutResult(arrived, original.arrival)
}

/** Returns the record of an upload of which only the original exists. */
export function uploadFromOriginal(address: UploadAddress, original: Original): Upload {
  const createdAt = new Date(uploadIdTimeMs(address.id)).toISOString()
  return {
    id: address.id,
    owner: address.owner,
    state: 'received',
    intent: original.intent,
    arrival: original.arrival,
    findings: {},
    variants: [],
    createdAt,
    updatedAt: createdAt,
  }
}

/**
 * Returns the record after these bytes arrived, or undefined if they are already recorded. Other bytes reset
 * the upload, since the findings of the old ones do not apply.
 */
export function recordArrival(current: Upload, arrival: Arrival): Upload | undefined {
  if (current.arrival && isSameArrival(current.arrival, arrival)) return undefined
  return withoutResult(current, arrival)
}

function withoutResult(current: Upload, arrival: Arrival): Upload {
  const { error: _, expiresAt: __, multipart: ___, source: ____, tus: _____, ...rest } = current
  // The record of a streamed file has no size until its end, and Redis may lose the change that adds it.
  const intent = { ...rest.intent, size: rest.intent.size || arrival.size }
  return { ...rest, intent, state: 'received', arrival, findings: {}, variants: [] }
}
