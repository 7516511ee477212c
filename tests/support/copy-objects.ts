import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3'
import { replicaHeader } from '@millrace/local-s3/storage/replica.ts'

type Bucket = { s3: S3Client; bucket: string }
/** An object that has been read and not been written yet. */
export type ObjectInFlight = { key: string; land(): Promise<void> }

/**
 * Copies new objects of one bucket to another one as S3 does between regions: each version once, in no promised order,
 * no copies, and no word of versions that were deleted.
 */
export function createObjectCopier(from: Bucket, to: Bucket) {
  const seen = new Set<string>()

  /** Reads what has not been read before. It lands when the test says so, be it gone at its source by then. */
  async function read(): Promise<ObjectInFlight[]> {
    const { Versions = [] } = await from.s3.send(new ListObjectVersionsCommand({ Bucket: from.bucket }))
    const fresh = Versions.filter(({ VersionId = '' }) => !seen.has(VersionId)).reverse()
    const inFlight: ObjectInFlight[] = []
    for (const { Key: key = '', VersionId: versionId = '' } of fresh) {
      seen.add(versionId)
      const where = { Bucket: from.bucket, Key: key, VersionId: versionId }
      const { ReplicationStatus } = await from.s3.send(new HeadObjectCommand(where))
      if (ReplicationStatus === 'REPLICA') continue
      const object = await from.s3.send(new GetObjectCommand(where))
      const bytes = (await object.Body?.transformToByteArray()) ?? new Uint8Array()
      const { LastModified: modifiedAt = new Date(), ContentType, Metadata } = object
      inFlight.push({
        key,
        land: () => putCopy(to, { key, versionId, modifiedAt, bytes, more: { ContentType, Metadata } }),
      })
    }
    return inFlight
  }

  return {
    read,
    /** @returns the keys of what was copied */
    async copy(): Promise<string[]> {
      const inFlight = await read()
      for (const { land } of inFlight) await land()
      return inFlight.map(({ key }) => key)
    },
  }
}

export type ObjectCopier = ReturnType<typeof createObjectCopier>

/** Writes what S3's replication would write. */
export async function putCopy(
  { s3, bucket }: Bucket,
  copy: {
    key: string
    versionId: string
    /** Of its source. */
    modifiedAt: Date
    bytes: Uint8Array
    more?: Pick<PutObjectCommandInput, 'ContentType' | 'Metadata'>
  },
): Promise<void> {
  const { key, versionId, modifiedAt, bytes, more } = copy
  const put = new PutObjectCommand({
    Bucket: bucket,
    Key: key,
    Body: bytes,
    ContentLength: bytes.length,
    ...more,
  })
  // The etag is as where each region encrypts by a key of its own.
  const told = { versionId, modifiedAt: String(modifiedAt.getTime()), etag: `copy-of-${versionId}` }
  put.middlewareStack.add(
    (next) => (args) => {
      if (!hasHeaders(args.request)) throw new TypeError('The SDK made a request without headers.')
      args.request.headers[replicaHeader] = new URLSearchParams(told).toString()
      return next(args)
    },
    { step: 'build' },
  )
  await s3.send(put)
}

function hasHeaders(request: unknown): request is { headers: Record<string, string> } {
  return typeof request === 'object' && request !== null && 'headers' in request
}
