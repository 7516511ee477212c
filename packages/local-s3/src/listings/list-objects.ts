import { localOwner } from '../protocol/local-account.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { ObjectTable, ObjectVersion } from '../storage/object-table.ts'
import { groupByDelimiter, type Position, positionOfMarker, takePage } from './common-prefixes.ts'
import { keyEncoder, listedTime, readPageSize } from './listing.ts'

/** A continuation token encodes the last key or common prefix of the page. Clients must not parse it. */
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

/** ListObjects and ListObjectsV2. */
export function createListObjects(deps: { buckets: BucketTable; objects: ObjectTable }) {
  const { buckets, objects } = deps

  /** Reads what both versions have in common, and the page that starts at `position`. */
  function readListing(
    exchange: S3Exchange,
    positionOf: (prefix: string, delimiter: string) => Position,
    withOwner: boolean,
  ) {
    const { bucket } = exchange
    buckets.require(bucket)
    const maxKeys = readPageSize(exchange, 'max-keys')
    const encode = keyEncoder(exchange)
    const prefix = exchange.query('prefix') ?? ''
    const delimiter = exchange.query('delimiter') ?? ''
    const grouped = groupByDelimiter({
      prefix,
      delimiter,
      position: positionOf(prefix, delimiter),
      keyOf: (object: ObjectVersion) => object.key,
      scan: (after, from) => objects.from(bucket, after, from),
    })
    const { entries, commonPrefixes, last, truncated } = takePage(grouped, maxKeys)
    return {
      encode,
      delimiter,
      truncated,
      count: entries.length + commonPrefixes.length,
      /** The last key or common prefix of the page. */
      last: last && {
        key: last.commonPrefix ?? last.entry.key,
        isPrefix: last.commonPrefix !== undefined,
      },
      elements: {
        Name: bucket,
        Prefix: encode(prefix),
        Delimiter: delimiter === '' ? undefined : encode(delimiter),
        MaxKeys: maxKeys,
        EncodingType: exchange.query('encoding-type'),
        IsTruncated: truncated,
        Contents: entries.map((object) => ({
          Key: encode(object.key),
          LastModified: listedTime(object.modifiedAt),
          ETag: `"${object.etag}"`,
          ChecksumAlgorithm: object.description.checksum?.algorithm.toUpperCase(),
          ChecksumType: object.description.checksum?.type,
          Size: object.size,
          Owner: withOwner ? localOwner : undefined,
          StorageClass: 'STANDARD',
        })),
        CommonPrefixes: commonPrefixes.map((commonPrefix) => ({ Prefix: encode(commonPrefix) })),
      },
    }
  }

  return {
    /** Version 1. It has a next marker only with a delimiter; otherwise the client continues after the last key. */
    async listObjects({ exchange }: VerifiedRequest) {
      const marker = exchange.query('marker') ?? ''
      const { elements, encode, delimiter, truncated, last } = readListing(
        exchange,
        (prefix, delimiter) => positionOfMarker(marker, prefix, delimiter),
        true,
      )
      exchange.sendXml(200, 'ListBucketResult', {
        ...elements,
        Marker: encode(marker),
        NextMarker: truncated && delimiter !== '' && last !== undefined ? encode(last.key) : undefined,
      })
    },

    async listObjectsV2({ exchange }: VerifiedRequest) {
      const startAfter = exchange.query('start-after')
      const token = exchange.query('continuation-token')
      const position = token === undefined ? { key: startAfter ?? '', isPrefix: false } : decodeToken(token)
      const { elements, encode, count, truncated, last } = readListing(
        exchange,
        () => position,
        exchange.query('fetch-owner') === 'true',
      )
      exchange.sendXml(200, 'ListBucketResult', {
        ...elements,
        KeyCount: count,
        ContinuationToken: token,
        NextContinuationToken: truncated && last !== undefined ? encodeToken(last) : undefined,
        StartAfter: startAfter === undefined ? undefined : encode(startAfter),
      })
    },
  }
}
