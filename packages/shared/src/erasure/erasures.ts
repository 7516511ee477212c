import {
  HeadObjectCommand,
  NotFound,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { erasureKey } from '../ledger/object-keys.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'

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
  async function put(address: UploadAddress, condition: { IfNoneMatch?: '*' } = {}): Promise<void> {
    // Without a length, the SDK treats an empty body as a body of unknown length.
    const marker = { Bucket: bucket, Key: erasureKey(address), ContentLength: 0 }
    await s3.send(new PutObjectCommand({ ...marker, ...condition }))
  }

  async function find(address: UploadAddress): Promise<ErasureMarker | undefined> {
    try {
      const { LastModified, ReplicationStatus } = await s3.send(
        new HeadObjectCommand({ Bucket: bucket, Key: erasureKey(address) }),
      )
      const markedAt = (LastModified ?? new Date()).toISOString()
      return { markedAt, isCopy: ReplicationStatus === 'REPLICA' }
    } catch (error) {
      if (error instanceof NotFound) return undefined
      throw error
    }
  }

  return {
    /** Marks an upload as erased, for good. A second mark writes nothing, so it publishes no event. */
    async mark(address: UploadAddress): Promise<void> {
      try {
        await put(address, { IfNoneMatch: '*' })
      } catch (error) {
        const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
        // Another process is writing the marker at this moment (S3 API, "ConditionalRequestConflict").
        if (status === 409) await put(address)
        else if (status !== 412) throw error
      }
    },

    /** Whether an upload was erased, or is being erased. */
    async isMarked(address: UploadAddress): Promise<boolean> {
      return (await find(address)) !== undefined
    },

    /** Finds an upload's erasure marker. */
    find,
  }
}

/** An erasure marker: when it was written (ISO 8601), and whether S3 copied it from another region. */
export type ErasureMarker = { markedAt: string; isCopy: boolean }

export type Erasures = ReturnType<typeof createErasures>
