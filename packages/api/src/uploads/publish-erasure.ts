import { PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { erasureKey } from '@millrace/shared/ledger/object-keys.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'

/**
 * Tells other regions of an erasure, by an empty object that S3 copies to them as it copies everything; each
 * bucket tells its own queue of it. S3 itself never copies the deletion of versions.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createPublishErasure({ s3, bucket }: { s3: S3Client; bucket: string }) {
  return async function publishErasure(address: UploadAddress): Promise<void> {
    // The SDK takes an empty body for one of unknown length.
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key: erasureKey(address), ContentLength: 0 }))
  }
}

export type PublishErasure = ReturnType<typeof createPublishErasure>
