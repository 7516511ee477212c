import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { ObjectTable, ObjectVersion } from '../storage/object-table.ts'
import { invalidVersionId, isVersionId, requestedVersion, versionHeaders } from '../storage/version-ids.ts'

/**
 * Returns the object of a request, or the version that it names.
 *
 * @throws S3Error NoSuchBucket, NoSuchKey, NoSuchVersion; InvalidArgument if the version id cannot exist;
 * MethodNotAllowed if the named version is a delete marker
 */
export function requireVersion(
  exchange: S3Exchange,
  { buckets, objects }: { buckets: BucketTable; objects: ObjectTable },
): ObjectVersion {
  const { bucket, key } = exchange
  buckets.require(bucket)
  const versionId = requestedVersion(exchange)
  const version = objects.findVersion(bucket, key, versionId)
  if (version !== undefined && !version.isDeleteMarker) return version
  if (version !== undefined) exchange.setHeaders(versionHeaders(version))
  if (versionId === undefined) throw new S3Error('NoSuchKey', undefined, { Key: key })
  if (version === undefined) {
    if (!isVersionId(versionId)) throw invalidVersionId('versionId', versionId)
    throw new S3Error('NoSuchVersion', undefined, { Key: key, VersionId: versionId })
  }
  exchange.setHeaders({ allow: 'DELETE' })
  throw new S3Error('MethodNotAllowed', undefined, {
    Method: exchange.method,
    ResourceType: 'DeleteMarker',
  })
}
