import {
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  type S3Client,
} from '@aws-sdk/client-s3'
import { replicaHeader } from '@millrace/local-s3/storage/replica.ts'
import { outboxPrefix, sweepPrefix, withdrawnPrefix } from '@millrace/shared/ledger/object-keys.ts'

type Bucket = { s3: S3Client; bucket: string }
/** An object that was read from its bucket and not yet written to the other one. */
export type PendingCopy = { key: string; land(): Promise<void> }

/**
 * Copies new objects of one bucket to another one, as S3 does between regions: each version once, in any
 * order. It copies neither copies nor the deletion of versions.
 */
export function createObjectCopier(from: Bucket, to: Bucket) {
  const seen = new Set<string>()

  /** Reads all new versions. The test calls `land` later, even if the source was deleted meanwhile. */
  async function read(): Promise<PendingCopy[]> {
    const { Versions = [] } = await from.s3.send(new ListObjectVersionsCommand({ Bucket: from.bucket }))
    // Each region sweeps its own bucket and delivers its own events: S3 copies neither (stacks/replication.ts).
    const isCopied = ({ Key = '', VersionId = '' }) =>
      ![sweepPrefix, outboxPrefix, withdrawnPrefix].some((prefix) => Key.startsWith(prefix)) &&
      !seen.has(VersionId)
    const newVersions = Versions.filter(isCopied).reverse()
    const pending: PendingCopy[] = []
    for (const { Key: key = '', VersionId: versionId = '' } of newVersions) {
      seen.add(versionId)
      const version = { Bucket: from.bucket, Key: key, VersionId: versionId }
      const { ReplicationStatus } = await from.s3.send(new HeadObjectCommand(version))
      if (ReplicationStatus === 'REPLICA') continue
      const object = await from.s3.send(new GetObjectCommand(version))
      const bytes = (await object.Body?.transformToByteArray()) ?? new Uint8Array()
      const { LastModified: modifiedAt = new Date(), ContentType, Metadata } = object
      pending.push({
        key,
        land: () => putCopy(to, { key, versionId, modifiedAt, bytes, fields: { ContentType, Metadata } }),
      })
    }
    return pending
  }

  return {
    read,
    /** Copies all new versions. Returns their keys. */
    async copy(): Promise<string[]> {
      const pending = await read()
      for (const { land } of pending) await land()
      return pending.map(({ key }) => key)
    },
  }
}

export type ObjectCopier = ReturnType<typeof createObjectCopier>

/** Writes an object as S3's replication does. */
export async function putCopy(
  { s3, bucket }: Bucket,
  copy: {
    key: string
    versionId: string
    /** When the source was modified. */
    modifiedAt: Date
    bytes: Uint8Array
    fields?: Pick<PutObjectCommandInput, 'ContentType' | 'Metadata'>
  },
): Promise<void> {
  const { key, versionId, modifiedAt, bytes, fields } = copy
  const put = new PutObjectCommand({
    Bucket: bucket,
    Key: key,
    Body: bytes,
    ContentLength: bytes.length,
    ...fields,
  })
  // The copy has a different etag, as if each region encrypted with its own key.
  const replica = { versionId, modifiedAt: String(modifiedAt.getTime()), etag: `copy-of-${versionId}` }
  put.middlewareStack.add(
    (next) => (args) => {
      if (!hasHeaders(args.request)) throw new TypeError('The request of the SDK has no headers.')
      args.request.headers[replicaHeader] = new URLSearchParams(replica).toString()
      return next(args)
    },
    { step: 'build' },
  )
  await s3.send(put)
}

function hasHeaders(request: unknown): request is { headers: Record<string, string> } {
  return typeof request === 'object' && request !== null && 'headers' in request
}
