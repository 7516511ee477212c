import { checksumElements } from '../bodies/checksums.ts'
import { localOwner } from '../protocol/local-account.ts'
import { S3Error } from '../protocol/s3-error.ts'
import type { VerifiedRequest } from '../signing/signature-v4.ts'
import type { BucketTable } from '../storage/bucket-table.ts'
import type { MultipartUpload, MultipartUploadTable } from '../storage/multipart-upload-table.ts'
import { groupByDelimiter, positionOfMarker, takePage } from './common-prefixes.ts'
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
        Initiator: localOwner,
        Owner: localOwner,
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
      const maxUploads = readPageSize(exchange, 'max-uploads')
      const encode = keyEncoder(exchange)
      const prefix = exchange.query('prefix') ?? ''
      const delimiter = exchange.query('delimiter') ?? ''
      const keyMarker = exchange.query('key-marker') ?? ''
      const idMarker = keyMarker === '' ? '' : (exchange.query('upload-id-marker') ?? '')
      const isListed = isAfterMarkers(
        keyMarker,
        idMarker === '' ? undefined : uploads.find(idMarker, bucket, keyMarker),
        idMarker,
      )
      const grouped = groupByDelimiter({
        prefix,
        delimiter,
        position: positionOfMarker(keyMarker, prefix, delimiter),
        keyOf: (upload: MultipartUpload) => upload.key,
        scan: (_after, from) => uploads.from(bucket, from).filter(isListed),
      })
      const { entries, commonPrefixes, last, truncated } = takePage(grouped, maxUploads)
      const next = truncated ? last : undefined
      exchange.sendXml(200, 'ListMultipartUploadsResult', {
        Bucket: bucket,
        KeyMarker: encode(keyMarker),
        UploadIdMarker: idMarker,
        NextKeyMarker: next && encode(next.commonPrefix ?? next.entry.key),
        NextUploadIdMarker: next?.entry?.id,
        Prefix: encode(prefix),
        Delimiter: delimiter === '' ? undefined : encode(delimiter),
        EncodingType: exchange.query('encoding-type'),
        MaxUploads: maxUploads,
        IsTruncated: truncated,
        Upload: entries.map((upload) => ({
          Key: encode(upload.key),
          UploadId: upload.id,
          Initiator: localOwner,
          Owner: localOwner,
          StorageClass: 'STANDARD',
          Initiated: listedTime(upload.initiatedAt),
          ChecksumAlgorithm: upload.description.parts.algorithm?.toUpperCase(),
          ChecksumType: upload.description.parts.type,
        })),
        CommonPrefixes: commonPrefixes.map((commonPrefix) => ({ Prefix: encode(commonPrefix) })),
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
