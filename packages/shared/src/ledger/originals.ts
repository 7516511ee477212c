import { HeadObjectCommand, NotFound, type S3Client } from '@aws-sdk/client-s3'
import { defaultPreset } from '../presets/preset.ts'
import type { Arrival, UploadIntent } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { originalKey } from './object-keys.ts'
import { fromObjectMetadata } from './object-metadata.ts'

/** An original as it lies in S3: which bytes, and what was announced with them. */
export type Original = {
  arrival: Arrival
  intent: UploadIntent
  /** Whether S3 copied it here from the bucket of another region, where it was uploaded. */
  isCopy: boolean
}

/**
 * Looks at originals without reading them.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createOriginals({ s3, bucket }: { s3: S3Client; bucket: string }) {
  return {
    /** @returns what S3 has at this upload's key at this moment, or undefined where it has nothing */
    async find(address: UploadAddress): Promise<Original | undefined> {
      try {
        const head = await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: originalKey(address) }))
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
 * The arrival that S3 tells of in its answer about an object.
 *
 * @param size of the object, bytes
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

/** An etag without the quotes that HTTP puts around it. */
export function unquoted(etag: string): string {
  return etag.replaceAll('"', '')
}
