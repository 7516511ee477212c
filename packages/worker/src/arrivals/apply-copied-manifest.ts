import type { Manifests } from '@millrace/shared/ledger/manifest.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { FinishUpload } from '../processing/finish-upload.ts'

/**
 * Handles manifests that S3 copied from another region: the upload is finished here too. The other region gets events
 * for its own manifests as well, and there is nothing left to do there.
 */
export function createApplyCopiedManifest(deps: { manifests: Manifests; finishUpload: FinishUpload }) {
  const { manifests, finishUpload } = deps

  /** Updates the record, and deletes the bytes if they were rejected for a mismatch. */
  return async function applyCopiedManifest(address: UploadAddress): Promise<void> {
    const manifest = await manifests.read(address)
    if (manifest) await finishUpload.applyManifest(manifest)
  }
}

export type ApplyCopiedManifest = ReturnType<typeof createApplyCopiedManifest>
