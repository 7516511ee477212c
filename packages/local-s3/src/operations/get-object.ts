import { pipeline } from 'node:stream/promises'
import { type ByteRange, parseRange } from '../protocol/byte-range.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import { isUnmodified, matchesEtag } from '../storage/conditional-requests.ts'
import type { ContentFiles } from '../storage/content-files.ts'
import { descriptionHeaders, storedHeaders } from '../storage/object-description.ts'
import type { ContentPiece, ObjectTable, ObjectVersion } from '../storage/object-table.ts'
import { versionHeaders } from '../storage/version-ids.ts'
import { readPartNumber } from './part-number.ts'
import { requireVersion } from './require-version.ts'

/** GetObject and HeadObject. */
export function createGetObject(deps: { buckets: BucketTable; objects: ObjectTable; files: ContentFiles }) {
  const { buckets, objects, files } = deps

  /** Sends the whole response except for the body. Returns the body's bytes, or `undefined` for a 304. */
  async function sendHeaders(
    exchange: S3Exchange,
  ): Promise<(ByteRange & { object: ObjectVersion }) | undefined> {
    const { headers } = exchange
    const object = requireVersion(exchange, { buckets, objects })
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
    const pieces = objects.content(object.id)
    const part = findPart(exchange, object, pieces)
    const range = part === undefined ? readRange(exchange, object) : part.range
    for (const piece of pieces) {
      if (!(await files.isComplete(piece.contentId, piece.size))) throw new S3Error('InternalError')
    }
    const withChecksum = headers['x-amz-checksum-mode']?.toUpperCase() === 'ENABLED' && range === undefined
    const { start, end } = range ?? { start: 0, end: object.size - 1 }
    // A part may be empty. No Content-Range can express that.
    const isPartial = range !== undefined && start <= end
    exchange.begin(isPartial ? 206 : 200, {
      ...(part?.count === undefined ? {} : { 'x-amz-mp-parts-count': String(part.count) }),
      ...descriptionHeaders(object.description, withChecksum),
      ...overrideHeaders(exchange),
      ...base,
      'x-amz-server-side-encryption': 'AES256',
      'content-length': String(end - start + 1),
      ...(isPartial ? { 'content-range': `bytes ${start}-${end}/${object.size}` } : {}),
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

/** @throws S3Error InvalidRange */
function readRange(exchange: S3Exchange, object: ObjectVersion): ByteRange | undefined {
  const { headers } = exchange
  const ifRange = headers['if-range']
  if (ifRange !== undefined && !matchesEtag(ifRange, object.etag)) return undefined
  try {
    return parseRange(headers['range'], object.size)
  } catch (error) {
    exchange.setHeaders({ 'content-range': `bytes */${object.size}` })
    throw error
  }
}

/**
 * Finds the part that a request reads with `partNumber`. A completed multipart object has one content file per part;
 * its etag tells how many. Parts are counted from 1 in their order, also if the upload left out numbers. Any other
 * object counts as one part.
 *
 * @returns `undefined` without that parameter. `range`: the part's bytes; it ends before its start if there are none.
 * `count`: the number of parts of a multipart object
 * @throws S3Error InvalidArgument, InvalidRequest, InvalidPartNumber
 */
function findPart(
  exchange: S3Exchange,
  object: ObjectVersion,
  pieces: readonly ContentPiece[],
): { range: ByteRange; count: number | undefined } | undefined {
  const number = readPartNumber(exchange)
  if (number === undefined) return undefined
  if (exchange.headers['range'] !== undefined) {
    throw new S3Error('InvalidRequest', 'Cannot specify both Range header and partNumber query parameter')
  }
  const isMultipart = object.etag.endsWith(`-${pieces.length}`)
  const sizes = isMultipart ? pieces.map((piece) => piece.size) : [object.size]
  const size = sizes[number - 1]
  if (size === undefined) {
    throw new S3Error('InvalidPartNumber', undefined, {
      PartNumberRequested: String(number),
      ActualPartCount: String(sizes.length),
    })
  }
  const start = sizes.slice(0, number - 1).reduce((sum, before) => sum + before, 0)
  return { range: { start, end: start + size - 1 }, count: isMultipart ? sizes.length : undefined }
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
