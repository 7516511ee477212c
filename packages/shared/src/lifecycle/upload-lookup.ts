import { type Manifests, uploadFromManifest } from '../ledger/manifest.ts'
import type { Original, Originals } from '../ledger/originals.ts'
import { isSameArrival, type Upload } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { uploadIdTimeMs } from '../uploads/upload-id.ts'
import type { StoredUpload, UploadRecords } from '../uploads/upload-records.ts'

/** The record of an upload of which only the original is known. */
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

/**
 * Finds an upload wherever it is known: in Redis, else by its manifest, else by its original. What S3 gave
 * back is put into Redis again, so a Redis that lost everything fills itself as it is asked.
 */
export function createUploadLookup(deps: {
  records: UploadRecords
  manifests: Manifests
  originals: Originals
}) {
  const { records, manifests, originals } = deps

  return {
    /** @returns the upload, or undefined where neither Redis nor S3 knows of it, or it was erased */
    async find(address: UploadAddress): Promise<StoredUpload | undefined> {
      const stored = await records.find(address)
      if (stored) return stored
      if (await records.isErased(address)) return undefined
      const [manifest, original] = await Promise.all([manifests.read(address), originals.find(address)])
      // The manifest speaks for the bytes it was made from. Others that came since have yet to be inspected.
      if (manifest && (!original || isSameArrival(manifest.arrival, original.arrival))) {
        return records.create(uploadFromManifest(manifest))
      }
      return original && records.create(uploadFromOriginal(address, original))
    },
  }
}

export type UploadLookup = ReturnType<typeof createUploadLookup>
