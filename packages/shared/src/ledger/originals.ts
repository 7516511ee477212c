import { HeadObjectCommand, NotFound, type S3Client } from '@aws-sdk/client-s3'
import { defaultPreset } from '../presets/preset.ts'
import type { Arrival, UploadIntent } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { originalKey } from './object-keys.ts'
import { fromObjectMetadata } from './object-metadata.ts'

/** An original in S3, and the intent in its object metadata. */
export type Original = {
  arrival: Arrival
  intent: UploadIntent
  /** Whether S3 copied it from another region's bucket, to which it was uploaded. */
  isCopy: boolean
}

/**
 * Finds originals without reading their bytes.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createOriginals({ s3, bucket }: { s3: S3Client; bucket: string }) {
  return {
    /**
     * Returns the original that S3 has at this moment, or undefined if it has none.
     * @param versionId a certain version of it; the newest one by default
     */
    async find(address: UploadAddress, versionId?: string): Promise<Original | undefined> {
      try {
        const head = await s3.send(
          new HeadObjectCommand({ Bucket: bucket, Key: originalKey(address), VersionId: versionId }),
        )
        const size = head.ContentLength ?? 0
        return {
          arrival: describeArrival(head, size),
          intent: fromObjectMetadata(
            { contentType: head.ContentType, size, metadata: head.Metadata ?? {} },
            { filename: address.id, preset: defaultPreset.name },
          ),
          isCopy: head.ReplicationStatus === 'REPLICA',
        }
      } catch (error) {
        if (error instanceof NotFound) return undefined
        throw error
      }
    },
  }
}

export type Originals = ReturnType<typeof createOriginals>

/**
 * Reads an arrival from S3's response about an object.
 *
 * @param size of the object, in bytes
 */
export function describeArrival(
  { ETag, VersionId }: { ETag?: string | undefined; VersionId?: string | undefined },
  size: number,
): Arrival {
  return {
    etag: unquoted(ETag ?? ''),
    size,
    ...(VersionId && VersionId !== 'null' && { versionId: VersionId }),
  }
}

/** Removes the quotes that HTTP requires around an etag. */
export function unquoted(etag: string): string {
  return etag.replaceAll('"', '')
}
