import { checksumAlgorithm, checksumElements } from '../bodies/checksums.ts'
import { digestStream, openRequestBody } from '../bodies/request-body.ts'
import { parseRange } from '../protocol/byte-range.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { S3Exchange } from '../protocol/s3-exchange.ts'
import type { VerifiedRequest, VerifiedSignature } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import { readWriteCondition } from '../storage/conditional-requests.ts'
import type { ContentFiles } from '../storage/content-files.ts'
import type {
  MultipartUpload,
  MultipartUploadTable,
  UploadedPart,
} from '../storage/multipart-upload-table.ts'
import { readObjectDescription } from '../storage/object-description.ts'
import type { ObjectTable, ObjectVersion } from '../storage/object-table.ts'
import { versionHeaders } from '../storage/version-ids.ts'
import { completedParts, objectChecksum, requestedEtag } from './completed-parts.ts'
import { checkCopySize, readCopySource } from './copy-source.ts'
import { eventOrigin } from './event-origin.ts'
import { requirePartNumber } from './part-number.ts'

/** CreateMultipartUpload, UploadPart, UploadPartCopy, CompleteMultipartUpload and AbortMultipartUpload. */
export function createMultipartUploads(deps: {
  buckets: BucketTable
  objects: ObjectTable
  uploads: MultipartUploadTable
  files: ContentFiles
  bodyTimeoutMs: number
}) {
  const { buckets, objects, uploads, files, bodyTimeoutMs } = deps

  function requireUpload(exchange: S3Exchange): MultipartUpload {
    return uploads.require(exchange.query('uploadId') ?? '', exchange.bucket, exchange.key)
  }

  /** Adds a written part to its upload. Deletes its file if the upload was completed or aborted meanwhile. */
  async function commitPart(upload: MultipartUpload, part: UploadedPart) {
    try {
      await files.discard(uploads.putPart(upload, part))
    } catch (error) {
      await files.discard([part.contentId])
      throw error
    }
  }

  /**
   * Opens the body of a CompleteMultipartUpload. Its x-amz-checksum- headers are checksums of the whole object, not of
   * the body.
   */
  function openCompletion(exchange: S3Exchange, signature: VerifiedSignature) {
    const expectedChecksums: Record<string, string> = {}
    for (const [name, value] of Object.entries(exchange.headers)) {
      if (!/^x-amz-(checksum-(crc|sha)|sdk-checksum-algorithm)/.test(name)) continue
      expectedChecksums[name] = value
      delete exchange.headers[name]
    }
    return { body: openRequestBody(exchange, signature, { timeoutMs: bodyTimeoutMs }), expectedChecksums }
  }

  return {
    async createMultipartUpload({ exchange }: VerifiedRequest) {
      const { bucket, key, headers } = exchange
      buckets.require(bucket)
      const algorithmName = headers['x-amz-checksum-algorithm']
      const algorithm = algorithmName === undefined ? undefined : checksumAlgorithm(algorithmName)
      const requestedType = headers['x-amz-checksum-type']
      if (requestedType !== undefined && requestedType !== 'COMPOSITE' && requestedType !== 'FULL_OBJECT') {
        throw new S3Error('InvalidRequest', 'Value for x-amz-checksum-type header is invalid.')
      }
      if (requestedType !== undefined && algorithm === undefined) {
        throw new S3Error(
          'InvalidRequest',
          'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.',
        )
      }
      const isHash = algorithm === 'sha1' || algorithm === 'sha256'
      if (
        (requestedType === 'FULL_OBJECT' && isHash) ||
        (requestedType === 'COMPOSITE' && algorithm === 'crc64nvme')
      ) {
        throw new S3Error(
          'InvalidRequest',
          `The ${requestedType} checksum type cannot be used with the ${algorithm} checksum algorithm.`,
        )
      }
      const type =
        algorithm === undefined
          ? undefined
          : (requestedType ?? (algorithm === 'crc64nvme' ? 'FULL_OBJECT' : 'COMPOSITE'))
      const uploadId = uploads.create(bucket, key, {
        ...readObjectDescription(headers),
        parts: { algorithm, type },
      })
      exchange.sendXml(
        200,
        'InitiateMultipartUploadResult',
        { Bucket: bucket, Key: key, UploadId: uploadId },
        algorithm === undefined || type === undefined
          ? {}
          : { 'x-amz-checksum-algorithm': algorithm.toUpperCase(), 'x-amz-checksum-type': type },
      )
    },

    async uploadPart({ exchange, signature }: VerifiedRequest) {
      const number = requirePartNumber(exchange)
      const upload = requireUpload(exchange)
      const { algorithm: expected, type } = upload.description.parts
      const body = openRequestBody(exchange, signature, { timeoutMs: bodyTimeoutMs, algorithm: expected })
      // For a checksum of the full object, S3 computes those of parts that come without.
      const actual = body.sentAlgorithm ?? (type === 'FULL_OBJECT' ? expected : undefined)
      if (expected !== undefined && actual !== expected) {
        throw new S3Error(
          'InvalidRequest',
          `Checksum Type mismatch occurred, expected checksum Type: ${expected}, actual checksum Type: ${actual ?? null}`,
        )
      }
      const written = await files.write(body.chunks())
      const { md5, checksum } = body.digests()
      await commitPart(upload, { ...written, number, etag: md5, modifiedAt: Date.now(), checksum })
      exchange.send(200, {
        etag: `"${md5}"`,
        ...(checksum === undefined ? {} : { [`x-amz-checksum-${checksum.algorithm}`]: checksum.value }),
      })
    },

    async uploadPartCopy({ exchange }: VerifiedRequest) {
      const number = requirePartNumber(exchange)
      const upload = requireUpload(exchange)
      const source = readCopySource(exchange, { buckets, objects })
      const header = exchange.headers['x-amz-copy-source-range']
      const range =
        header === undefined ? { start: 0, end: source.size - 1 } : parseRange(header, source.size)
      if (range === undefined || (header !== undefined && !header.endsWith(`-${range.end}`))) {
        throw new S3Error(
          'InvalidArgument',
          `Range specified is not valid for source object of size: ${source.size}`,
          {
            ArgumentName: 'x-amz-copy-source-range',
            ArgumentValue: header ?? '',
          },
        )
      }
      checkCopySize(range.end - range.start + 1)
      const bytes = files.read(objects.ranges(source.id, range.start, range.end))
      const digesting = digestStream(bytes, upload.description.parts.algorithm)
      const written = await files.write(digesting.chunks)
      const { md5, checksum } = await digesting.digests()
      const modifiedAt = Date.now()
      await commitPart(upload, { ...written, number, etag: md5, modifiedAt, checksum })
      exchange.sendXml(200, 'CopyPartResult', {
        LastModified: new Date(modifiedAt).toISOString(),
        ETag: `"${md5}"`,
        ...checksumElements(checksum),
      })
    },

    async completeMultipartUpload({ exchange, signature }: VerifiedRequest) {
      const { bucket, key } = exchange
      const { body, expectedChecksums } = openCompletion(exchange, signature)
      const uploadId = exchange.query('uploadId') ?? ''
      if (objects.findCompleted(bucket, key, uploadId) === undefined) requireUpload(exchange)
      const condition = readWriteCondition(exchange)
      const xml = await body.xml()
      const etag = requestedEtag(xml)
      /** S3 responds to the same completion again as it did first. */
      const findRepeated = () => {
        const completed = objects.findCompleted(bucket, key, uploadId)
        return completed?.etag === etag ? completed : undefined
      }
      const repeated = findRepeated()
      if (repeated !== undefined) return sendCompleted(exchange, repeated)
      const upload = requireUpload(exchange)
      const { algorithm } = upload.description.parts
      const expected = algorithm === undefined ? undefined : expectedChecksums[`x-amz-checksum-${algorithm}`]
      const parts = completedParts(xml, upload, uploads.parts(upload.id, 0, -1))
      const checksum = await objectChecksum(upload, parts, expected, exchange.headers['x-amz-checksum-type'])
      const declaredSize = exchange.headers['x-amz-mp-object-size']
      const size = parts.reduce((sum, part) => sum + part.size, 0)
      if (declaredSize !== undefined && declaredSize !== String(size)) {
        throw new S3Error(
          'InvalidRequest',
          `The provided 'x-amz-mp-object-size' header value ${declaredSize} does not match what was computed: ${size}`,
        )
      }
      const { parts: _, ...description } = upload.description
      // Meanwhile another request may have completed or aborted the upload, or replaced a part. Nothing below awaits
      // before the commit.
      const repeatedMeanwhile = findRepeated()
      if (repeatedMeanwhile !== undefined) return sendCompleted(exchange, repeatedMeanwhile)
      uploads.require(upload.id, bucket, key)
      const current = new Set(uploads.parts(upload.id, 0, -1).map((part) => part.contentId))
      if (!parts.every((part) => current.has(part.contentId))) throw new S3Error('InvalidPart')
      const committed = await objects.commit({
        bucket,
        key,
        etag,
        description: {
          ...description,
          ...(checksum === undefined ? {} : { checksum }),
          uploadId: upload.id,
        },
        content: parts.map(({ contentId, size }) => ({ contentId, size })),
        condition,
        origin: eventOrigin(exchange, 'ObjectCreated:CompleteMultipartUpload'),
        uploadId: upload.id,
      })
      sendCompleted(exchange, committed)
    },

    async abortMultipartUpload({ exchange }: VerifiedRequest) {
      await files.discard(uploads.abort(requireUpload(exchange)))
      exchange.send(204)
    },
  }
}

function sendCompleted(exchange: S3Exchange, version: ObjectVersion) {
  const { checksum } = version.description
  exchange.sendXml(
    200,
    'CompleteMultipartUploadResult',
    {
      Location: `http://${exchange.headers['host']}${exchange.rawPath}`,
      Bucket: version.bucket,
      Key: version.key,
      ETag: `"${version.etag}"`,
      ...checksumElements(checksum),
      ChecksumType: checksum?.type,
    },
    versionHeaders(version),
  )
}
