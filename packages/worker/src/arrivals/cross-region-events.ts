import type { Manifests } from '@millrace/shared/ledger/manifest.ts'
import type { EraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { FinishUpload } from '../processing/finish-upload.ts'

/**
 * Handles manifests and erasure markers that S3 copied from another region: the upload is finished or erased here too.
 * The other region gets events for its own objects as well, and there is nothing left to do there.
 */
export function createCrossRegionEvents(deps: {
  manifests: Manifests
  finishUpload: FinishUpload
  eraseUpload: EraseUpload
}) {
  const { manifests, finishUpload, eraseUpload } = deps
  return {
    /** Applies an upload's manifest: updates the record, and deletes the bytes if they were rejected for a mismatch. */
    async applyManifest(address: UploadAddress): Promise<void> {
      const manifest = await manifests.read(address)
      if (manifest) await finishUpload.applyManifest(manifest)
    },
    /** Erases an upload that another region erased. */
    async applyErasure(address: UploadAddress): Promise<void> {
      await eraseUpload(address)
    },
  }
}

export type CrossRegionEvents = ReturnType<typeof createCrossRegionEvents>
