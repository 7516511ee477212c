import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { copyHeader } from '@millrace/local/s3/object-copy.ts'

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
      const copy = new URLSearchParams({
        versionId,
        modifiedAt: String(object.LastModified?.getTime()),
        // As where each region encrypts by a key of its own.
        etag: `${to.bucket}-${object.ETag?.replaceAll('"', '').toUpperCase()}`,
      })
      const put = new PutObjectCommand({
        Bucket: to.bucket,
        Key: key,
        Body: bytes,
        ContentType: object.ContentType,
        Metadata: object.Metadata,
      })
      put.middlewareStack.add(
        (next) => (args) => {
          if (hasHeaders(args.request)) args.request.headers[copyHeader] = copy.toString()
          return next(args)
        },
        { step: 'build' },
      )
      inFlight.push({ key, land: async () => void (await to.s3.send(put)) })
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

function hasHeaders(request: unknown): request is { headers: Record<string, string> } {
  return typeof request === 'object' && request !== null && 'headers' in request
}
