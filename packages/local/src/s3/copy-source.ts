import type { BucketRecords } from './bucket-records.ts'
import { isUnmodified } from './object-conditions.ts'
import type { ObjectRecord, ObjectRecords } from './object-records.ts'
import { S3Error } from './s3-error.ts'
import { decodeUri, type S3Exchange } from './s3-exchange.ts'

/**
 * Reads `x-amz-copy-source: /bucket/key`, percent-encoded.
 *
 * @throws S3Error InvalidArgument when it names no object, NotImplemented when it names a version
 */
export function parseCopySource({ headers }: S3Exchange): { bucket: string; key: string } {
  const [path = '', ...query] = (headers['x-amz-copy-source'] ?? '').split('?')
  if (query.length > 0 && query.join('?') !== 'versionId=null') {
    throw new S3Error('NotImplemented', undefined, { Header: 'x-amz-copy-source' })
  }
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
  return { bucket: source.slice(0, slash), key: source.slice(slash + 1) }
}

/**
 * Finds the object to copy from and checks the `x-amz-copy-source-if-…` conditions.
 *
 * @throws S3Error NoSuchBucket, NoSuchKey, PreconditionFailed, InvalidArgument, NotImplemented
 */
export function readCopySource(
  exchange: S3Exchange,
  deps: { buckets: BucketRecords; objects: ObjectRecords },
): ObjectRecord {
  const { bucket, key } = parseCopySource(exchange)
  deps.buckets.require(bucket)
  const object = deps.objects.require(bucket, key)
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
