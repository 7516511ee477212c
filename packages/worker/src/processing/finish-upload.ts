import { isDeepStrictEqual } from 'node:util'
import type { Erasures } from '@millrace/shared/erasure/erasures.ts'
import type { Withdrawals } from '@millrace/shared/erasure/withdrawals.ts'
import type { Edits } from '@millrace/shared/ledger/edits.ts'
import type { Evidence } from '@millrace/shared/ledger/evidence.ts'
import {
  canChange,
  discardedVersions,
  hasEvent,
  type Manifest,
  type Manifests,
  rejectsBytes,
  type StoredManifest,
  uploadFromManifest,
  withEvent,
} from '@millrace/shared/ledger/manifest.ts'
import type { OriginalVersions } from '@millrace/shared/ledger/original-versions.ts'
import type { FinishErasure } from '@millrace/shared/lifecycle/finish-erasure.ts'
import type { RemoveRejectedBytes } from '@millrace/shared/lifecycle/remove-rejected-bytes.ts'
import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import {
  type Arrival,
  type Findings,
  hasSameBytes,
  isSameArrival,
  laterEdit,
  type Upload,
  type UploadError,
  type Variant,
  withEdit,
} from '@millrace/shared/uploads/upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { arrivalCause, type Outbox } from '@millrace/shared/webhooks/outbox.ts'
import type { WebhookEvent } from '@millrace/shared/webhooks/webhook-event.ts'

/** The result of processing, as the manifest records it. */
export type Outcome = {
  outcome: Manifest['outcome']
  recipe: string
  findings: Findings
  variants: Variant[]
  error?: UploadError
  evidence?: Evidence
}

/** The codes that are the file's fault. They finish the upload as `rejected`, since a retry would not help. */
const rejectionCodes: ReadonlySet<ErrorCode> = new Set([
  'image_corrupt',
  'image_too_many_pixels',
  'image_too_large',
  'image_too_complex',
  'image_not_supported',
  'malware_found',
  'too_large_to_scan',
  'inspection_refused',
  'poison_file',
  'size_mismatch',
  'checksum_mismatch',
  'type_not_allowed',
])

/** How often a manifest is decided again, because another process wrote one meanwhile. */
const attempts = 8

/** Whether a thrown error is the file's fault. */
export function isRejection(thrown: unknown): thrown is AppError {
  return thrown instanceof AppError && rejectionCodes.has(thrown.code)
}

/**
 * Finishes uploads whose bytes have arrived. Only this module does so: it writes the manifest first, which is the commit
 * point, and then the record, which publishes the change.
 *
 * The event for webhooks is written before the manifest, which names it: an event that no manifest names did not happen, and
 * none is missing. It is announced after the record, so that whoever gets it and reads the upload sees its outcome.
 */
export function createFinishUpload(deps: {
  manifests: Manifests
  edits: Pick<Edits, 'read'>
  records: UploadRecords
  erasures: Erasures
  finishErasure: FinishErasure
  removeRejectedBytes: RemoveRejectedBytes
  originalVersions: Pick<OriginalVersions, 'has' | 'delete'>
  outbox: Pick<Outbox, 'add' | 'announce' | 'remove'>
  withdrawals: Pick<Withdrawals, 'add'>
}) {
  const { manifests, edits, records, erasures, finishErasure, removeRejectedBytes } = deps
  const { originalVersions, outbox, withdrawals } = deps

  /**
   * Applies a manifest: deletes bytes that are refused, and those that were discarded, and updates the record, unless other bytes have arrived since.
   *
   * First it reads the erasure marker in S3. Redis may have lost its own, and whoever erases lists the objects after
   * the marker was written: either that listing shows this manifest, or the marker is seen here (`erasures.ts`).
   * @returns `replaced` if other bytes have arrived. `erased` for an upload that was erased meanwhile: its new objects are
   *   erased, and nothing remains to do
   */
  async function applyManifest(manifest: Manifest): Promise<'applied' | 'replaced' | 'erased'> {
    try {
      if (!(await erasures.isMarked(manifest))) return await apply(manifest)
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'upload_not_found') throw error
    }
    // Objects that were written after the erasure must be erased too.
    await finishErasure(manifest)
    return 'erased'
  }

  async function apply(manifest: Manifest): Promise<'applied' | 'replaced'> {
    const { discarded = [] } = manifest
    if (rejectsBytes(manifest)) await removeRejectedBytes(manifest, manifest.arrival)
    for (const versionId of discarded) await originalVersions.delete(manifest, versionId)
    const found = await records.find(manifest)
    // A record that was checked in this epoch has the edit. Whoever edits meanwhile changes the record after this.
    const edit = found?.isChecked ? found.upload.edit : await edits.read(manifest)
    const unedited = uploadFromManifest(manifest)
    const stored =
      (await records.update(
        manifest,
        (current) => {
          const finished = withEdit(unedited, laterEdit(current.edit, edit))
          const { arrival } = current
          const isRestored = arrival?.versionId !== undefined && discarded.includes(arrival.versionId)
          if (!arrival || !(isRestored || hasSameBytes(arrival, manifest.arrival))) return undefined
          // With a manifest of another region, the version is the same here, but the etag may differ.
          const next = isSameArrival(arrival, manifest.arrival) ? { ...finished, arrival } : finished
          const isUnchanged = isDeepStrictEqual({ ...current, updatedAt: next.updatedAt }, next)
          return isUnchanged ? undefined : next
        },
        { isChecked: true, found },
      )) ?? (await records.create(withEdit(unedited, edit)))
    const { arrival } = stored.upload
    return arrival !== undefined && hasSameBytes(arrival, manifest.arrival) ? 'applied' : 'replaced'
  }

  return {
    applyManifest,

    /**
     * Finishes an upload. If another attempt has already finished the same bytes, its manifest is kept and applied.
     *
     * A file that was sent again and is rejected does not harm the upload: its bytes are discarded, and the earlier ones,
     * which are ready, stay.
     * @param arrival the processed bytes
     * @param stored the manifest that S3 had when the caller read it
     * @returns the manifest in S3, or undefined if other bytes have arrived since. Their own job finishes the upload
     * @throws AppError `conflict` if other processes keep writing manifests of this upload
     */
    async finish(
      upload: Upload,
      arrival: Arrival,
      outcome: Outcome,
      stored: StoredManifest | undefined,
    ): Promise<Manifest | undefined> {
      const manifest: Manifest = {
        version: 1,
        id: upload.id,
        owner: upload.owner,
        intent: upload.intent,
        arrival,
        createdAt: upload.createdAt,
        finishedAt: new Date().toISOString(),
        ...outcome,
      }
      let current = stored
      for (let attempt = 0; attempt < attempts; attempt++) {
        if (current && isSettled(current.content, manifest)) return inForce(current.content)
        const replacing = current ? await replace(current.content, manifest) : manifest
        const event = await addEvent(replacing, manifest)
        const next = withEvent(replacing, event?.id, current?.content)
        if (current) await withdrawVariants(current.content, next)
        if (await manifests.write(next, current)) return inForce(next, event)
        current = await manifests.readStored(upload)
        if (event) await settleEvent(event, current?.content)
      }
      throw new AppError('conflict')
    },
  }

  /**
   * Writes the event of an outcome, if a webhook gets it.
   * @param manifest which will be in force
   * @param attempt the result of this attempt. If it is discarded, the upload is as before, which is told again: after its
   *   new bytes were told as received
   */
  function addEvent(manifest: Manifest, attempt: Manifest): Promise<WebhookEvent | undefined> {
    return outbox.add({
      type: `upload.${manifest.outcome}`,
      upload: uploadFromManifest(manifest),
      at: attempt.finishedAt,
      cause: arrivalCause(attempt.arrival, attempt.finishedAt),
    })
  }

  /**
   * Removes the event of a manifest that was not written. It stays if the manifest was written after all and replaced since.
   * @param current the manifest in S3
   */
  async function settleEvent(event: WebhookEvent, current: Manifest | undefined): Promise<void> {
    if (current && hasEvent(current, event.id)) await outbox.announce(event)
    else await outbox.remove(event)
  }

  /**
   * Records that the variants of an upload that was `ready` are withdrawn, if it is rejected now: a scanner may know more of the
   * same file than before. Before the manifest, so that no crash leaves them. Of a manifest that is not written after all, the
   * variants are still named, and a worker leaves them.
   */
  async function withdrawVariants(current: Manifest, next: Manifest): Promise<void> {
    if (next.outcome !== 'rejected' || current.variants.length === 0) return
    await withdrawals.add(
      current,
      current.variants.map(({ key }) => key),
    )
  }

  /** Returns the manifest that follows after another one. It knows which versions were discarded. */
  async function replace(current: Manifest, next: Manifest): Promise<Manifest> {
    const { versionId } = next.arrival
    if (versionId !== undefined && (await staysReady(current, next))) {
      return { ...current, discarded: [...new Set([...(current.discarded ?? []), versionId])] }
    }
    const discarded = discardedVersions(current).filter((each) => each !== versionId)
    return discarded.length > 0 ? { ...next, discarded } : next
  }

  /** Whether other bytes are rejected, and S3 still has those that are ready. */
  async function staysReady(current: Manifest, next: Manifest): Promise<boolean> {
    const { versionId } = current.arrival
    if (current.outcome !== 'ready' || next.outcome !== 'rejected' || versionId === undefined) return false
    return !hasSameBytes(current.arrival, next.arrival) && originalVersions.has(current, versionId)
  }

  /** @param event that the manifest names, if this attempt wrote it */
  async function inForce(manifest: Manifest, event?: WebhookEvent): Promise<Manifest | undefined> {
    const applied = await applyManifest(manifest)
    // Of an erased upload, the erasure is the last that is told.
    if (event) await (applied === 'erased' ? outbox.remove(event) : outbox.announce(event))
    return applied === 'replaced' ? undefined : manifest
  }
}

export type FinishUpload = ReturnType<typeof createFinishUpload>

/**
 * Whether a manifest stays although another one was made: it has an outcome for the same bytes that a failure must not
 * overwrite, or it is the result of the same work. A newer recipe, and the same bytes sent again, replace it.
 */
function isSettled(current: Manifest, next: Manifest): boolean {
  if (canChange(current) || !hasSameBytes(current.arrival, next.arrival)) return false
  if (next.outcome === 'failed') return true
  return current.recipe === next.recipe && isSameArrival(current.arrival, next.arrival)
}
