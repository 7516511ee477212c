import type { Readable } from 'node:stream'
import { type S3Client, UploadPartCommand } from '@aws-sdk/client-s3'
import { originalKey } from '../ledger/object-keys.ts'
import { unquoted } from '../ledger/originals.ts'
import { AppError } from '../service/app-error.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'

/**
 * Sends parts of originals to S3.
 *
 * @param deps.streamingS3 the client; it computes no checksums
 * @param deps.bucket the bucket of all keys
 */
export function createUploadPart({ streamingS3, bucket }: { streamingS3: S3Client; bucket: string }) {
  /**
   * Sends one part of a multipart upload.
   *
   * @param multipartId S3's id of the multipart upload
   * @param part.bytes all bytes, or a stream of `part.size` bytes
   * @returns the part's etag, without quotes
   */
  return async function uploadPart(
    address: UploadAddress,
    multipartId: string,
    part: { partNumber: number } & ({ bytes: Buffer } | { bytes: Readable; size: number }),
    signal: AbortSignal,
  ): Promise<string> {
    const { ETag } = await streamingS3.send(
      new UploadPartCommand({
        Bucket: bucket,
        Key: originalKey(address),
        UploadId: multipartId,
        PartNumber: part.partNumber,
        Body: part.bytes,
        ...('size' in part && { ContentLength: part.size }),
      }),
      { abortSignal: signal },
    )
    if (!ETag) throw new AppError('dependency_unavailable')
    return unquoted(ETag)
  }
}

export type UploadPart = ReturnType<typeof createUploadPart>
