import { isDeepStrictEqual } from 'node:util'
import type { EraseObjects } from '@millrace/shared/ledger/erase-objects.ts'
import { type Manifest, type Manifests, uploadFromManifest } from '@millrace/shared/ledger/manifest.ts'
import type { QuotaReservations } from '@millrace/shared/quotas/quota-reservations.ts'
import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import {
  type Arrival,
  type Findings,
  hasSameBytes,
  isSameArrival,
  type Upload,
  type UploadError,
  type Variant,
} from '@millrace/shared/uploads/upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { DeleteRejectedOriginal } from './delete-rejected-original.ts'

/** How an upload ended. */
export type Outcome = {
  outcome: Manifest['outcome']
  recipe: string
  findings: Findings
  variants: Variant[]
  error?: UploadError
}

/** The codes that are the file's own fault: the upload ends as `rejected`, and trying again would not help. */
const rejections: ReadonlySet<ErrorCode> = new Set([
  'image_corrupt',
  'image_too_many_pixels',
  'image_too_large',
  'size_mismatch',
  'checksum_mismatch',
  'type_not_allowed',
])

/** Those of them that say that the file is not what was agreed on: its bytes are not even kept. */
const discarded: ReadonlySet<string> = new Set([
  'size_mismatch',
  'checksum_mismatch',
  'type_not_allowed',
] satisfies ErrorCode[])

/** Whether what was thrown says that the file itself is at fault. */
export function isRejection(thrown: unknown): thrown is AppError {
  return thrown instanceof AppError && rejections.has(thrown.code)
}

/**
 * Ends uploads whose bytes have come. This is the only place that does: first the manifest, which is the commit point, then the
 * record, whose change tells everybody who watches.
 */
export function createFinishUpload(deps: {
  manifests: Manifests
  records: UploadRecords
  eraseObjects: EraseObjects
  deleteRejectedOriginal: DeleteRejectedOriginal
  quotaReservations: QuotaReservations
}) {
  const { manifests, records, eraseObjects, deleteRejectedOriginal, quotaReservations } = deps

  /**
   * Does what follows from a manifest: deletes bytes that are not what was announced, and brings the record to
   * what the manifest says, unless other bytes have arrived since.
   * @returns false where they have. An upload that was erased meanwhile stays so, and nothing more is to be done
   */
  async function applyManifest(manifest: Manifest): Promise<boolean> {
    try {
      return await apply(manifest)
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'upload_not_found') throw error
      // Erased while it was worked on: what was made of it since must go, too.
      await eraseObjects(manifest)
      return true
    }
  }

  async function apply(manifest: Manifest): Promise<boolean> {
    if (manifest.error && discarded.has(manifest.error.code)) {
      await deleteRejectedOriginal(manifest, manifest.arrival)
      await quotaReservations.release(manifest)
    }
    const settled = uploadFromManifest(manifest)
    const stored =
      (await records.update(settled, (current) => {
        const { arrival } = current
        if (!arrival || !hasSameBytes(arrival, manifest.arrival)) return undefined
        // Of another region's manifest only the version holds here, not the etag.
        const next = isSameArrival(arrival, manifest.arrival) ? { ...settled, arrival } : settled
        const isSettled = isDeepStrictEqual({ ...current, updatedAt: next.updatedAt }, next)
        return isSettled ? undefined : next
      })) ?? (await records.create(settled))
    const { arrival } = stored.upload
    return arrival !== undefined && hasSameBytes(arrival, manifest.arrival)
  }

  return {
    applyManifest,

    /**
     * Ends an upload.
     * @param arrival the bytes that the outcome is about
     * @returns false where other bytes have arrived since; their own job will say how the upload ends
     */
    async finish(upload: Upload, arrival: Arrival, ended: Outcome): Promise<boolean> {
      const manifest: Manifest = {
        version: 1,
        id: upload.id,
        owner: upload.owner,
        intent: upload.intent,
        arrival,
        createdAt: upload.createdAt,
        finishedAt: new Date().toISOString(),
        ...ended,
      }
      await manifests.write(manifest)
      return applyManifest(manifest)
    },
  }
}

export type FinishUpload = ReturnType<typeof createFinishUpload>
