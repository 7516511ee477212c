import { checksumElements } from '../bodies/checksums.ts'
import { laterKey } from '../protocol/object-keys.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { MultipartUpload, MultipartUploadTable } from '../storage/multipart-upload-table.ts'
import { keyEncoder, listedTime, readPageSize } from './listing.ts'

/** ListParts and ListMultipartUploads. */
export function createListMultipartUploads(deps: { buckets: BucketTable; uploads: MultipartUploadTable }) {
  const { buckets, uploads } = deps

  return {
    async listParts({ exchange }: VerifiedRequest) {
      const upload = uploads.require(exchange.query('uploadId') ?? '', exchange.bucket, exchange.key)
      const maxParts = readPageSize(exchange, 'max-parts')
      const encode = keyEncoder(exchange)
      const marker = exchange.query('part-number-marker') ?? '0'
      if (!/^\d{1,10}$/.test(marker)) {
        throw new S3Error(
          'InvalidArgument',
          'Argument part-number-marker must be an integer between 0 and 2147483647',
          {
            ArgumentName: 'part-number-marker',
            ArgumentValue: marker,
          },
        )
      }
      // One more than the page holds, to find out whether another page follows.
      const rows = uploads.parts(upload.id, Number(marker), maxParts + 1)
      const parts = rows.slice(0, maxParts)
      const { algorithm, type } = upload.description.parts
      exchange.sendXml(200, 'ListPartsResult', {
        Bucket: upload.bucket,
        Key: encode(upload.key),
        UploadId: upload.id,
        PartNumberMarker: Number(marker),
        NextPartNumberMarker: parts.at(-1)?.number ?? 0,
        MaxParts: maxParts,
        IsTruncated: rows.length > parts.length,
        Initiator: { ID: 'LOCAL', DisplayName: 'local' },
        Owner: { ID: 'LOCAL', DisplayName: 'local' },
        StorageClass: 'STANDARD',
        ChecksumAlgorithm: algorithm?.toUpperCase(),
        ChecksumType: type,
        Part: parts.map((part) => ({
          PartNumber: part.number,
          LastModified: listedTime(part.modifiedAt),
          ETag: `"${part.etag}"`,
          Size: part.size,
          ...checksumElements(part.checksum),
        })),
      })
    },

    async listMultipartUploads({ exchange }: VerifiedRequest) {
      const { bucket } = exchange
      buckets.require(bucket)
      if (exchange.query('delimiter')) {
        throw new S3Error('NotImplemented', 'The delimiter of ListMultipartUploads is not implemented.')
      }
      const maxUploads = readPageSize(exchange, 'max-uploads')
      const encode = keyEncoder(exchange)
      const prefix = exchange.query('prefix') ?? ''
      const keyMarker = exchange.query('key-marker') ?? ''
      const idMarker = keyMarker === '' ? '' : (exchange.query('upload-id-marker') ?? '')
      const isListed = isAfterMarkers(
        keyMarker,
        idMarker === '' ? undefined : uploads.find(idMarker, bucket, keyMarker),
        idMarker,
      )

      const listed: MultipartUpload[] = []
      let truncated = false
      for (const upload of uploads.from(bucket, Buffer.from(laterKey(keyMarker, prefix)))) {
        if (!upload.key.startsWith(prefix)) break
        if (!isListed(upload)) continue
        if (listed.length >= maxUploads) {
          truncated = true
          break
        }
        listed.push(upload)
      }
      const last = listed.at(-1)
      exchange.sendXml(200, 'ListMultipartUploadsResult', {
        Bucket: bucket,
        KeyMarker: encode(keyMarker),
        UploadIdMarker: idMarker,
        NextKeyMarker: truncated && last !== undefined ? encode(last.key) : undefined,
        NextUploadIdMarker: truncated ? last?.id : undefined,
        Prefix: encode(prefix),
        EncodingType: exchange.query('encoding-type'),
        MaxUploads: maxUploads,
        IsTruncated: truncated,
        Upload: listed.map((upload) => ({
          Key: encode(upload.key),
          UploadId: upload.id,
          Initiator: { ID: 'LOCAL', DisplayName: 'local' },
          Owner: { ID: 'LOCAL', DisplayName: 'local' },
          StorageClass: 'STANDARD',
          Initiated: listedTime(upload.initiatedAt),
          ChecksumAlgorithm: upload.description.parts.algorithm?.toUpperCase(),
          ChecksumType: upload.description.parts.type,
        })),
      })
    },
  }
}

/**
 * Returns a function that finds out whether an upload comes after the markers. The upload of the id marker may have
 * been completed or aborted between two pages. Then all uploads of its key are listed again, and the client may
 * receive some twice.
 */
function isAfterMarkers(keyMarker: string, marked: MultipartUpload | undefined, idMarker: string) {
  return (upload: MultipartUpload): boolean => {
    if (keyMarker === '' || upload.key !== keyMarker) return true
    if (idMarker === '') return false
    if (marked === undefined) return true
    return (
      upload.initiatedAt > marked.initiatedAt ||
      (upload.initiatedAt === marked.initiatedAt && upload.id > marked.id)
    )
  }
}
