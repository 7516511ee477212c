import { type Manifests, uploadFromManifest } from '../ledger/manifest.ts'
import type { Original, Originals } from '../ledger/originals.ts'
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

/**
 * Finds an upload in Redis, or else by its manifest, or else by its original. A record rebuilt from S3 is
 * stored in Redis again, so a Redis that lost its data is refilled by lookups.
 */
export function createUploadLookup(deps: {
  records: UploadRecords
  manifests: Manifests
  originals: Originals
}) {
  const { records, manifests, originals } = deps

  return {
    /** @returns the upload, or undefined if neither Redis nor S3 has it, or if it was erased */
    async find(address: UploadAddress): Promise<StoredUpload | undefined> {
      const stored = await records.find(address)
      if (stored) return stored
      if (await records.isErased(address)) return undefined
      const [manifest, original] = await Promise.all([manifests.read(address), originals.find(address)])
      // The manifest is valid for the bytes it was made from. Bytes that arrived later must be inspected
      // first.
      if (manifest && (!original || isSameArrival(manifest.arrival, original.arrival))) {
        return records.create(uploadFromManifest(manifest))
      }
      return original && records.create(uploadFromOriginal(address, original))
    },
  }
}

export type UploadLookup = ReturnType<typeof createUploadLookup>
