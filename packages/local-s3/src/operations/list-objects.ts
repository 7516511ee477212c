import { laterKey } from '../protocol/object-keys.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { ObjectTable, ObjectVersion } from '../storage/object-table.ts'
import { keyEncoder, listedTime, readPageSize } from './listing.ts'

/** Common prefixes end where keys that start with them end: before this byte string. */
function afterPrefix(prefix: Buffer): Buffer {
  const next = Buffer.from(prefix)
  // UTF-8 never contains 0xFF, so the last byte can always be raised.
  next[next.length - 1] = (next[next.length - 1] ?? 0) + 1
  return next
}

/** The last key or common prefix of the page before. Tokens are opaque to clients. */
type Position = { key: string; isPrefix: boolean }

function encodeToken(position: Position): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url')
}

function decodeToken(token: string): Position {
  try {
    const position = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'))
    if (typeof position.key === 'string' && typeof position.isPrefix === 'boolean') return position
  } catch {
    // Refused below, like any other token that is not ours.
  }
  throw new S3Error('InvalidArgument', 'The continuation token provided is incorrect', {
    ArgumentName: 'continuation-token',
  })
}

/** ListObjectsV2 and ListObjectVersions. */
export function createListObjects(deps: { buckets: BucketTable; objects: ObjectTable }) {
  const { buckets, objects } = deps

  /** Walks the index in key order and rolls keys up under their common prefixes. */
  function* walk(bucket: string, prefix: string, delimiter: string, position: Position) {
    const prefixBytes = Buffer.from(prefix)
    let after = position.isPrefix ? Buffer.alloc(0) : Buffer.from(position.key)
    let from = position.isPrefix ? afterPrefix(Buffer.from(position.key)) : prefixBytes
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
        // The index is entered anew behind the common prefix, however many keys it stands for.
        after = Buffer.alloc(0)
        from = afterPrefix(Buffer.from(commonPrefix))
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

    /** The versions of one key are listed from the newest on; a page may end between two of them. */
    async listObjectVersions({ exchange }: VerifiedRequest) {
      const bucket = exchange.bucket
      buckets.require(bucket)
      if (exchange.query('delimiter')) {
        throw new S3Error('NotImplemented', 'ListObjectVersions takes no delimiter here.')
      }
      const maxKeys = readPageSize(exchange, 'max-keys')
      const encode = keyEncoder(exchange)
      const prefix = exchange.query('prefix') ?? ''
      const keyMarker = exchange.query('key-marker') ?? ''
      const versionMarker = exchange.query('version-id-marker') ?? ''
      const listed: { record: ObjectVersion; isLatest: boolean }[] = []
      let truncated = false
      if (maxKeys > 0) {
        for (const version of versionsBehind(bucket, prefix, keyMarker, versionMarker)) {
          truncated = listed.length >= maxKeys
          if (truncated) break
          listed.push(version)
        }
      }
      const last = listed.at(-1)?.record
      const entries = listed.map(({ record, isLatest }) => ({
        isDeleteMarker: record.isDeleteMarker,
        entry: {
          Key: encode(record.key),
          VersionId: record.versionId,
          IsLatest: isLatest,
          LastModified: listedTime(record.modifiedAt),
          ...(!record.isDeleteMarker && {
            ETag: `"${record.etag}"`,
            Size: record.size,
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
   * The versions that a listing shows after its markers.
   * @throws S3Error InvalidArgument where the version that it should go on behind is not there (any more)
   */
  function* versionsBehind(bucket: string, prefix: string, keyMarker: string, versionMarker: string) {
    const after = Buffer.from(versionMarker === '' ? keyMarker : '')
    const from = Buffer.from(laterKey(keyMarker, prefix))
    const markedVersion = versionMarker === '' ? undefined : objects.version(bucket, keyMarker, versionMarker)
    if (versionMarker !== '' && markedVersion === undefined) {
      throw new S3Error('InvalidArgument', 'Invalid version id specified', {
        ArgumentName: 'version-id-marker',
        ArgumentValue: versionMarker,
      })
    }
    for (const version of objects.versionsFrom(bucket, after, from)) {
      const { key, id } = version.record
      if (!key.startsWith(prefix)) return
      if (markedVersion !== undefined && key === keyMarker && id >= markedVersion.id) continue
      yield version
    }
  }
}
