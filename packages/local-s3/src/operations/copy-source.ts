import { maxPutBytes } from '../bodies/request-body.ts'
import { S3Error } from '../protocol/s3-error.ts'
import { decodeUri, type S3Exchange } from '../protocol/s3-exchange.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import { isUnmodified } from '../storage/conditional-requests.ts'
import type { ObjectTable, ObjectVersion } from '../storage/object-table.ts'
import { emptyVersionId, invalidVersionId, isVersionId, versionHeaders } from '../storage/version-ids.ts'

/**
 * Parses `x-amz-copy-source: /bucket/key?versionId=…`. It is percent-encoded, and the version is optional.
 *
 * @throws S3Error InvalidArgument if it has no bucket or no key, or another parameter than the version
 */
export function parseCopySource({ headers }: S3Exchange) {
  const [path = '', query = ''] = (headers['x-amz-copy-source'] ?? '').split('?')
  const source = decodeUri(path).replace(/^\//, '')
  const slash = source.indexOf('/')
  if (slash <= 0 || slash === source.length - 1) {
    throw new S3Error(
      'InvalidArgument',
      'Copy Source must mention the source bucket and key: sourcebucket/sourcekey',
      {
        ArgumentName: 'x-amz-copy-source',
        ArgumentValue: path,
      },
    )
  }
  const parameters = new URLSearchParams(query)
  if ([...parameters.keys()].some((name) => name !== 'versionId')) {
    throw new S3Error('InvalidArgument', 'Unsupported copy source parameter.', {
      ArgumentName: 'x-amz-copy-source',
      ArgumentValue: headers['x-amz-copy-source'] ?? '',
    })
  }
  const versionId = parameters.get('versionId') ?? undefined
  if (versionId === '') throw emptyVersionId('x-amz-copy-source')
  return { bucket: source.slice(0, slash), key: source.slice(slash + 1), versionId }
}

/**
 * Checks that one request may copy this many bytes.
 * @throws S3Error InvalidRequest
 */
export function checkCopySize(bytes: number) {
  if (bytes <= maxPutBytes) return
  throw new S3Error(
    'InvalidRequest',
    `The specified copy source is larger than the maximum allowable size for a copy source: ${maxPutBytes}`,
  )
}

/**
 * Finds the object to copy from and checks the `x-amz-copy-source-if-…` conditions.
 *
 * @throws S3Error NoSuchBucket, NoSuchKey, NoSuchVersion, PreconditionFailed, InvalidArgument, InvalidRequest
 */
export function readCopySource(
  exchange: S3Exchange,
  deps: { buckets: BucketTable; objects: ObjectTable },
): ObjectVersion {
  const { bucket, key, versionId } = parseCopySource(exchange)
  deps.buckets.require(bucket)
  const object = deps.objects.findVersion(bucket, key, versionId)
  if (versionId === undefined && (object === undefined || object.isDeleteMarker)) {
    if (object !== undefined) exchange.setHeaders(versionHeaders(object))
    throw new S3Error('NoSuchKey', undefined, { Key: key })
  }
  if (object === undefined) {
    if (versionId === undefined || isVersionId(versionId)) {
      throw new S3Error('NoSuchVersion', undefined, { Key: key })
    }
    // S3 says less to CopyObject than to UploadPartCopy.
    throw exchange.query('uploadId') === undefined
      ? new S3Error('InvalidRequest')
      : invalidVersionId('x-amz-copy-source', versionId)
  }
  if (object.isDeleteMarker) {
    throw new S3Error(
      'InvalidRequest',
      'The source of a copy request may not specifically refer to a delete marker by version id.',
    )
  }
  const condition = (name: string) => exchange.headers[`x-amz-copy-source-${name}`]
  const unmodified = isUnmodified(object, {
    ifMatch: condition('if-match'),
    ifNoneMatch: condition('if-none-match'),
    ifModifiedSince: condition('if-modified-since'),
    ifUnmodifiedSince: condition('if-unmodified-since'),
  })
  if (unmodified) throw new S3Error('PreconditionFailed')
  return object
}
