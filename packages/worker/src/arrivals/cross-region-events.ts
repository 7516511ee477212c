import type { Manifests } from '@millrace/shared/ledger/manifest.ts'
import type { EraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { FinishUpload } from '../processing/finish-upload.ts'

/**
 * What follows from what other regions did, which S3 has copied here: what they finished is finished here, what they
 * erased is erased here. The region that did it hears of it, too, and finds it done.
 */
export function createCrossRegionEvents(deps: {
  manifests: Manifests
  finishUpload: FinishUpload
  eraseUpload: EraseUpload
}) {
  const { manifests, finishUpload, eraseUpload } = deps
  return {
    /** Brings the record to what the manifest says, and deletes bytes that it says are not kept. */
    async finished(address: UploadAddress): Promise<void> {
      const manifest = await manifests.read(address)
      if (manifest) await finishUpload.applyManifest(manifest)
    },
    async erased(address: UploadAddress): Promise<void> {
      await eraseUpload(address)
    },
  }
}

export type CrossRegionEvents = ReturnType<typeof createCrossRegionEvents>
