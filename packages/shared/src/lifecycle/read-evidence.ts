import type { Erasures } from '../erasure/erasures.ts'
import type { Announcements } from '../ledger/announcements.ts'
import type { Edits } from '../ledger/edits.ts'
import type { Manifests } from '../ledger/manifest.ts'
import type { Originals } from '../ledger/originals.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { Evidence } from './upload-truth.ts'

/** What S3 has of an upload. */
export type LedgerEvidence = Omit<Evidence, 'record'>

/** Reads what S3 has of an upload, without its bytes. */
export function createReadEvidence(deps: {
  erasures: Erasures
  manifests: Manifests
  originals: Originals
  announcements: Announcements
  edits: Pick<Edits, 'read'>
}) {
  const { erasures, manifests, originals, announcements, edits } = deps

  /**
   * @param hasRecord whether Redis has a record. Without one, the announcement of an upload in parts is read as well
   * @throws AppError `unreadable_record` if this version cannot read the manifest, the edit or the announcement
   */
  return async function readEvidence(address: UploadAddress, hasRecord: boolean): Promise<LedgerEvidence> {
    const [isErased, original, manifest, edit] = await Promise.all([
      erasures.isMarked(address),
      originals.find(address),
      manifests.read(address),
      edits.read(address),
    ])
    const found = { isErased, ...(edit && { edit }) }
    if (isErased || original || manifest || hasRecord) return { ...found, original, manifest }
    const announced = await announcements.read(address)
    if (!announced) return found
    if (await announcements.isOpen(announced)) return { ...found, announced }
    // It was completed since the original was read, or else aborted.
    return { ...found, original: await originals.find(address) }
  }
}

export type ReadEvidence = ReturnType<typeof createReadEvidence>
