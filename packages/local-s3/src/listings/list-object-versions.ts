import { localOwner } from '../protocol/local-account.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { ObjectTable, ObjectVersion } from '../storage/object-table.ts'
import { invalidVersionId } from '../storage/version-ids.ts'
import { groupByDelimiter, positionOfMarker, takePage } from './common-prefixes.ts'
import { keyEncoder, listedTime, readPageSize } from './listing.ts'

type ListedVersion = { version: ObjectVersion; isLatest: boolean }

/** ListObjectVersions. */
export function createListObjectVersions(deps: { buckets: BucketTable; objects: ObjectTable }) {
  const { buckets, objects } = deps

  /** @throws S3Error InvalidArgument if the version id is empty, has no key or does not exist */
  function requireMarked(
    bucket: string,
    key: string,
    versionId: string | undefined,
  ): ObjectVersion | undefined {
    if (versionId === undefined) return undefined
    const argument = { ArgumentName: 'version-id-marker', ArgumentValue: versionId }
    if (key === '') {
      throw new S3Error(
        'InvalidArgument',
        'A version-id marker cannot be specified without a key marker.',
        argument,
      )
    }
    if (versionId === '') {
      throw new S3Error('InvalidArgument', 'A version-id marker cannot be empty.', argument)
    }
    const version = objects.findVersion(bucket, key, versionId)
    if (version === undefined) throw invalidVersionId('version-id-marker', versionId)
    return version
  }

  /** Yields the versions of `versionsFrom` that come after the marked one. Versions of a key are listed newest first. */
  function* scan(bucket: string, marked: ObjectVersion | undefined, after: Buffer, from: Buffer) {
    for (const entry of objects.versionsFrom(bucket, after, from)) {
      const { key, id } = entry.version
      if (marked === undefined || key !== marked.key || id < marked.id) yield entry
    }
  }

  return {
    /** Lists the versions of one key from the newest to the oldest. A page may end between two of them. */
    async listObjectVersions({ exchange }: VerifiedRequest) {
      const { bucket } = exchange
      buckets.require(bucket)
      const maxKeys = readPageSize(exchange, 'max-keys')
      const encode = keyEncoder(exchange)
      const prefix = exchange.query('prefix') ?? ''
      const delimiter = exchange.query('delimiter') ?? ''
      const keyMarker = exchange.query('key-marker') ?? ''
      const versionMarker = exchange.query('version-id-marker')
      const marked = requireMarked(bucket, keyMarker, versionMarker)
      const grouped = groupByDelimiter({
        prefix,
        delimiter,
        position: positionOfMarker(keyMarker, prefix, delimiter),
        includesKey: marked !== undefined,
        keyOf: ({ version }: ListedVersion) => version.key,
        scan: (after, from) => scan(bucket, marked, after, from),
      })
      const { entries, commonPrefixes, last, truncated } = takePage(grouped, maxKeys)
      const elements = entries.map(({ version, isLatest }) => ({
        isDeleteMarker: version.isDeleteMarker,
        element: {
          Key: encode(version.key),
          VersionId: version.versionId,
          IsLatest: isLatest,
          LastModified: listedTime(version.modifiedAt),
          ...(!version.isDeleteMarker && {
            ETag: `"${version.etag}"`,
            Size: version.size,
            StorageClass: 'STANDARD',
          }),
          Owner: localOwner,
        },
      }))
      const next = truncated ? last : undefined
      exchange.sendXml(200, 'ListVersionsResult', {
        Name: bucket,
        Prefix: encode(prefix),
        Delimiter: delimiter === '' ? undefined : encode(delimiter),
        KeyMarker: encode(keyMarker),
        VersionIdMarker: versionMarker ?? '',
        MaxKeys: maxKeys,
        EncodingType: exchange.query('encoding-type'),
        IsTruncated: truncated,
        NextKeyMarker: next && encode(next.commonPrefix ?? next.entry.version.key),
        NextVersionIdMarker: next?.entry?.version.versionId,
        Version: elements.filter(({ isDeleteMarker }) => !isDeleteMarker).map(({ element }) => element),
        DeleteMarker: elements.filter(({ isDeleteMarker }) => isDeleteMarker).map(({ element }) => element),
        CommonPrefixes: commonPrefixes.map((commonPrefix) => ({ Prefix: encode(commonPrefix) })),
      })
    },
  }
}
