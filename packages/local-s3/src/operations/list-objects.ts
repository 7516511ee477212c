import { laterKey } from '../protocol/object-keys.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { ObjectTable, ObjectVersion } from '../storage/object-table.ts'
import { keyEncoder, listedTime, readPageSize } from './listing.ts'

/** Returns the first byte string after all keys that start with a prefix. */
function endOfPrefix(prefix: Buffer): Buffer {
  const next = Buffer.from(prefix)
  // UTF-8 never contains 0xFF, so the last byte can always be incremented.
  next[next.length - 1] = (next[next.length - 1] ?? 0) + 1
  return next
}

/** The last key or common prefix of the previous page. A continuation token encodes it; clients must not parse it. */
type Position = { key: string; isPrefix: boolean }

function encodeToken(position: Position): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url')
}

function decodeToken(token: string): Position {
  try {
    const position = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'))
    if (typeof position.key === 'string' && typeof position.isPrefix === 'boolean') return position
  } catch {
    // Rejected below, like any token that this server did not create.
  }
  throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect', {
    ArgumentName: 'continuation-token',
  })
}

/** ListObjectsV2 and ListObjectVersions. */
export function createListObjects(deps: { buckets: BucketTable; objects: ObjectTable }) {
  const { buckets, objects } = deps

  /** Yields objects in key order. Keys with a common prefix are replaced by that prefix. */
  function* walk(bucket: string, prefix: string, delimiter: string, position: Position) {
    const prefixBytes = Buffer.from(prefix)
    let after = position.isPrefix ? Buffer.alloc(0) : Buffer.from(position.key)
    let from = position.isPrefix ? endOfPrefix(Buffer.from(position.key)) : prefixBytes
    if (Buffer.compare(from, prefixBytes) < 0) from = prefixBytes
    for (let skipped = true; skipped; ) {
      skipped = false
      for (const object of objects.from(bucket, after, from)) {
        if (!object.key.startsWith(prefix)) return
        const cut = delimiter === '' ? -1 : object.key.indexOf(delimiter, prefix.length)
        if (cut < 0) {
          yield { object, commonPrefix: undefined }
          continue
        }
        const commonPrefix = object.key.slice(0, cut + delimiter.length)
        yield { object: undefined, commonPrefix }
        // A new query starts after the common prefix, so its other keys are not read.
        after = Buffer.alloc(0)
        from = endOfPrefix(Buffer.from(commonPrefix))
        skipped = true
        break
      }
    }
  }

  return {
    async listObjectsV2({ exchange }: VerifiedRequest) {
      const bucket = exchange.bucket
      buckets.require(bucket)
      const maxKeys = readPageSize(exchange, 'max-keys')
      const encode = keyEncoder(exchange)
      const prefix = exchange.query('prefix') ?? ''
      const delimiter = exchange.query('delimiter') ?? ''
      const startAfter = exchange.query('start-after')
      const token = exchange.query('continuation-token')
      const position = token === undefined ? { key: startAfter ?? '', isPrefix: false } : decodeToken(token)

      const contents: ObjectVersion[] = []
      const commonPrefixes: string[] = []
      let last = position
      let truncated = false
      if (maxKeys > 0) {
        for (const { object, commonPrefix } of walk(bucket, prefix, delimiter, position)) {
          if (contents.length + commonPrefixes.length >= maxKeys) {
            truncated = true
            break
          }
          if (object !== undefined) {
            contents.push(object)
            last = { key: object.key, isPrefix: false }
          } else {
            commonPrefixes.push(commonPrefix)
            last = { key: commonPrefix, isPrefix: true }
          }
        }
      }
      const withOwner = exchange.query('fetch-owner') === 'true'
      exchange.sendXml(200, 'ListBucketResult', {
        Name: bucket,
        Prefix: encode(prefix),
        Delimiter: delimiter === '' ? undefined : encode(delimiter),
        MaxKeys: maxKeys,
        EncodingType: exchange.query('encoding-type'),
        KeyCount: contents.length + commonPrefixes.length,
        IsTruncated: truncated,
        ContinuationToken: token,
        NextContinuationToken: truncated ? encodeToken(last) : undefined,
        StartAfter: startAfter === undefined ? undefined : encode(startAfter),
        Contents: contents.map((object) => ({
          Key: encode(object.key),
          LastModified: listedTime(object.modifiedAt),
          ETag: `"${object.etag}"`,
          ChecksumAlgorithm: object.description.checksum?.algorithm.toUpperCase(),
          ChecksumType: object.description.checksum?.type,
          Size: object.size,
          Owner: withOwner ? { ID: 'LOCAL' } : undefined,
          StorageClass: 'STANDARD',
        })),
        CommonPrefixes: commonPrefixes.map((commonPrefix) => ({ Prefix: encode(commonPrefix) })),
      })
    },

    /** Lists the versions of one key from the newest to the oldest. A page may end between two of them. */
    async listObjectVersions({ exchange }: VerifiedRequest) {
      const bucket = exchange.bucket
      buckets.require(bucket)
      if (exchange.query('delimiter')) {
        throw new S3Error('NotImplemented', 'The delimiter of ListObjectVersions is not implemented.')
      }
      const maxKeys = readPageSize(exchange, 'max-keys')
      const encode = keyEncoder(exchange)
      const prefix = exchange.query('prefix') ?? ''
      const keyMarker = exchange.query('key-marker') ?? ''
      const versionMarker = exchange.query('version-id-marker') ?? ''
      const listed: { version: ObjectVersion; isLatest: boolean }[] = []
      let truncated = false
      if (maxKeys > 0) {
        for (const entry of versionsAfter(bucket, prefix, keyMarker, versionMarker)) {
          truncated = listed.length >= maxKeys
          if (truncated) break
          listed.push(entry)
        }
      }
      const last = listed.at(-1)?.version
      const entries = listed.map(({ version, isLatest }) => ({
        isDeleteMarker: version.isDeleteMarker,
        entry: {
          Key: encode(version.key),
          VersionId: version.versionId,
          IsLatest: isLatest,
          LastModified: listedTime(version.modifiedAt),
          ...(!version.isDeleteMarker && {
            ETag: `"${version.etag}"`,
            Size: version.size,
            StorageClass: 'STANDARD',
          }),
        },
      }))
      exchange.sendXml(200, 'ListVersionsResult', {
        Name: bucket,
        Prefix: encode(prefix),
        KeyMarker: encode(keyMarker),
        VersionIdMarker: versionMarker,
        MaxKeys: maxKeys,
        EncodingType: exchange.query('encoding-type'),
        IsTruncated: truncated,
        NextKeyMarker: truncated ? encode(last?.key ?? '') : undefined,
        NextVersionIdMarker: truncated ? last?.versionId : undefined,
        Version: entries.filter(({ isDeleteMarker }) => !isDeleteMarker).map(({ entry }) => entry),
        DeleteMarker: entries.filter(({ isDeleteMarker }) => isDeleteMarker).map(({ entry }) => entry),
      })
    },
  }

  /**
   * Yields the versions after the markers.
   * @throws S3Error InvalidArgument if the version of the marker does not exist
   */
  function* versionsAfter(bucket: string, prefix: string, keyMarker: string, versionMarker: string) {
    const after = Buffer.from(versionMarker === '' ? keyMarker : '')
    const from = Buffer.from(laterKey(keyMarker, prefix))
    const markedVersion =
      versionMarker === '' ? undefined : objects.findVersion(bucket, keyMarker, versionMarker)
    if (versionMarker !== '' && markedVersion === undefined) {
      throw new S3Error('InvalidArgument', 'Invalid version id specified', {
        ArgumentName: 'version-id-marker',
        ArgumentValue: versionMarker,
      })
    }
    for (const entry of objects.versionsFrom(bucket, after, from)) {
      const { key, id } = entry.version
      if (!key.startsWith(prefix)) return
      if (markedVersion !== undefined && key === keyMarker && id >= markedVersion.id) continue
      yield entry
    }
  }
}
