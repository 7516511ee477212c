import { PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { erasureKey } from '@millrace/shared/ledger/object-keys.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'

/**
 * Publishes an erasure to other regions. It writes an empty object, the erasure marker, which S3 copies to
 * their buckets. Each bucket sends an event about it to its own queue. S3 itself never copies the deletion of
 * versions.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createPublishErasure({ s3, bucket }: { s3: S3Client; bucket: string }) {
  return async function publishErasure(address: UploadAddress): Promise<void> {
    // Without a length, the SDK treats an empty body as a body of unknown length.
    await s3.send(new PutObjectCommand({ Bucket: bucket, Key: erasureKey(address), ContentLength: 0 }))
  }
}

export type PublishErasure = ReturnType<typeof createPublishErasure>
