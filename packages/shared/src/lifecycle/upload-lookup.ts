import type { Announcements } from '../ledger/announcements.ts'
import { type Manifests, uploadFromManifest } from '../ledger/manifest.ts'
import type { Original, Originals } from '../ledger/originals.ts'
import type { WarnSeldom } from '../service/seldom-warning.ts'
import { isUnreadable } from '../service/stored-json.ts'
import { isSameArrival, type Upload } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { uploadIdTimeMs } from '../uploads/upload-id.ts'
import type { StoredUpload, UploadRecords } from '../uploads/upload-records.ts'

/** Returns the record of an upload of which only the original exists. */
export function uploadFromOriginal(address: UploadAddress, original: Original): Upload {
  return {
    id: address.id,
    owner: address.owner,
    state: 'received',
    intent: original.intent,
    arrival: original.arrival,
    findings: {},
    variants: [],
    createdAt: new Date(uploadIdTimeMs(address.id)).toISOString(),
    updatedAt: new Date().toISOString(),
  }
}

/** The revision of an upload that was read from S3, because another version wrote its record in another form. */
export const unknownRevision = 0

/**
 * Finds an upload in Redis, or else by its manifest, its original or its announcement. A record rebuilt from S3 is stored
 * in Redis again, so a Redis that lost its data is refilled by lookups.
 *
 * A record that another version wrote in another form stays as it is: the upload is read from S3.
 *
 * @param deps.warnSeldom logs records that are read from S3 for this reason
 */
export function createUploadLookup(deps: {
  records: UploadRecords
  manifests: Manifests
  originals: Originals
  announcements?: Announcements
  warnSeldom?: WarnSeldom
}) {
  const { records, manifests, originals, announcements, warnSeldom } = deps

  return {
    /**
     * @returns the upload, or undefined if neither Redis nor S3 has it, or if it was erased. The revision is
     *   `unknownRevision` if this version cannot read the record
     * @throws AppError `unreadable_record` if this version cannot read the manifest, or cannot read the record and S3 has
     *   none of them
     */
    async find(address: UploadAddress): Promise<StoredUpload | undefined> {
      let unreadable: unknown
      try {
        const stored = await records.find(address)
        if (stored) return stored
      } catch (error) {
        if (!isUnreadable(error)) throw error
        unreadable = error
      }
      if (await records.isErased(address)) return undefined
      const found = await findInLedger(address)
      if (unreadable === undefined) return found && records.create(found)
      if (!found) throw unreadable
      warnSeldom?.('record-unreadable', unreadable, 'a record of another version is read from S3')
      return { upload: found, revision: unknownRevision }
    },
  }

  async function findInLedger(address: UploadAddress): Promise<Upload | undefined> {
    const [manifest, original] = await Promise.all([manifests.read(address), originals.find(address)])
    // The manifest is valid for the bytes it was made from. Bytes that arrived later must be inspected
    // first.
    if (manifest && (!original || isSameArrival(manifest.arrival, original.arrival))) {
      return uploadFromManifest(manifest)
    }
    if (original) return uploadFromOriginal(address, original)
    const announced = await announcements?.read(address)
    if (!announced || (await announcements?.isOpen(announced))) return announced
    // It was completed since the original was read, or else aborted.
    const completed = await originals.find(address)
    return completed && uploadFromOriginal(address, completed)
  }
}

export type UploadLookup = ReturnType<typeof createUploadLookup>
