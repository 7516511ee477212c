import { HeadObjectCommand, NotFound, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { erasureKey } from './object-keys.ts'

/**
 * Writes and reads erasure markers. S3 is strongly consistent, which both sides of a race rely on:
 *
 *   erasing      marker written → objects listed → objects deleted
 *   processing   objects written → marker read
 *
 * Either the listing shows the objects, or the reader sees the marker and erases the objects itself. S3 also copies the
 * marker to other regions and publishes an event for it, so an interrupted erasure is finished.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createErasures({ s3, bucket }: { s3: S3Client; bucket: string }) {
  return {
    /** Marks an upload as erased, for good. */
    async mark(address: UploadAddress): Promise<void> {
      // Without a length, the SDK treats an empty body as a body of unknown length.
      await s3.send(new PutObjectCommand({ Bucket: bucket, Key: erasureKey(address), ContentLength: 0 }))
    },

    /** Whether an upload was erased, or is being erased. */
    async isMarked(address: UploadAddress): Promise<boolean> {
      try {
        await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: erasureKey(address) }))
        return true
      } catch (error) {
        if (error instanceof NotFound) return false
        throw error
      }
    },
  }
}

export type Erasures = ReturnType<typeof createErasures>
