import { pipeline } from 'node:stream/promises'
import { type ByteRange, parseRange } from '../protocol/byte-range.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import { isUnmodified, matchesEtag } from '../storage/conditional-requests.ts'
import type { ContentFiles } from '../storage/content-files.ts'
import { descriptionHeaders, storedHeaders } from '../storage/object-description.ts'
import type { ObjectTable, ObjectVersion } from '../storage/object-table.ts'
import { requestedVersion, versionHeaders } from '../storage/version-ids.ts'

/** GetObject and HeadObject. */
export function createGetObject(deps: { buckets: BucketTable; objects: ObjectTable; files: ContentFiles }) {
  const { buckets, objects, files } = deps

  /** @throws S3Error NoSuchKey, NoSuchVersion; MethodNotAllowed if the requested version is a delete marker */
  function requireVersion(exchange: S3Exchange): ObjectVersion {
    const { bucket, key } = exchange
    const versionId = requestedVersion(exchange)
    const version = objects.findVersion(bucket, key, versionId)
    if (version !== undefined && !version.isDeleteMarker) return version
    if (version !== undefined) exchange.setHeaders(versionHeaders(version))
    if (versionId === undefined) throw new S3Error('NoSuchKey', undefined, { Key: key })
    if (version === undefined)
      throw new S3Error('NoSuchVersion', undefined, { Key: key, VersionId: versionId })
    throw new S3Error('MethodNotAllowed', undefined, {
      Method: exchange.method,
      ResourceType: 'DeleteMarker',
    })
  }

  /** Sends the whole response except for the body. Returns the body's bytes, or `undefined` for a 304. */
  async function sendHeaders(
    exchange: S3Exchange,
  ): Promise<(ByteRange & { object: ObjectVersion }) | undefined> {
    const { headers } = exchange
    buckets.require(exchange.bucket)
    const object = requireVersion(exchange)
    const base = {
      ...versionHeaders(object),
      etag: `"${object.etag}"`,
      'last-modified': new Date(object.modifiedAt).toUTCString(),
      'accept-ranges': 'bytes',
    }
    const unmodified = isUnmodified(object, {
      ifMatch: headers['if-match'],
      ifNoneMatch: headers['if-none-match'],
      ifModifiedSince: headers['if-modified-since'],
      ifUnmodifiedSince: headers['if-unmodified-since'],
    })
    if (unmodified) {
      exchange.send(304, base)
      return undefined
    }
    const ifRange = headers['if-range']
    const useRange = ifRange === undefined || matchesEtag(ifRange, object.etag)
    let range: ByteRange | undefined
    try {
      range = useRange ? parseRange(headers['range'], object.size) : undefined
    } catch (error) {
      exchange.setHeaders({ 'content-range': `bytes */${object.size}` })
      throw error
    }
    for (const piece of objects.content(object.id)) {
      if (!(await files.isComplete(piece.contentId, piece.size))) throw new S3Error('InternalError')
    }
    const withChecksum = headers['x-amz-checksum-mode']?.toUpperCase() === 'ENABLED' && range === undefined
    const { start, end } = range ?? { start: 0, end: object.size - 1 }
    exchange.begin(range === undefined ? 200 : 206, {
      ...descriptionHeaders(object.description, withChecksum),
      ...overrideHeaders(exchange),
      ...base,
      'x-amz-server-side-encryption': 'AES256',
      'content-length': String(end - start + 1),
      ...(range === undefined ? {} : { 'content-range': `bytes ${start}-${end}/${object.size}` }),
    })
    return { object, start, end }
  }

  return {
    async getObject({ exchange }: VerifiedRequest) {
      const body = await sendHeaders(exchange)
      if (body === undefined) return
      const bytes = files.read(objects.ranges(body.object.id, body.start, body.end))
      try {
        await pipeline(bytes, exchange.res)
      } catch (error) {
        // The headers are sent, so only a closed connection shows the error to the client; pipeline has closed it.
        // A client that disconnects is not an error of this server. A file that cannot be read is one.
        if (error instanceof Error && 'syscall' in error && 'path' in error) {
          console.error(`local S3: GET ${exchange.rawPath} failed while sending the body:`, error)
        }
      }
    },

    async headObject({ exchange }: VerifiedRequest) {
      if ((await sendHeaders(exchange)) !== undefined) exchange.res.end()
    },
  }
}

/**
 * Returns the headers that the request sets with `response-…` parameters.
 * @throws S3Error InvalidArgument if a value is not valid in a header
 */
function overrideHeaders(exchange: S3Exchange): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const name of storedHeaders) {
    const value = exchange.query(`response-${name}`)
    if (value === undefined) continue
    if (!/^[\t\u0020-\u007e\u00a0-\u00ff]*$/.test(value)) {
      throw new S3Error('InvalidArgument', 'Header value cannot be represented using ISO-8859-1.', {
        ArgumentName: `response-${name}`,
        ArgumentValue: value,
      })
    }
    headers[name] = value
  }
  return headers
}
