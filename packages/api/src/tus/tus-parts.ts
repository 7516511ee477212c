import {
  GetObjectCommand,
  HeadObjectCommand,
  NotFound,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { originalKey, unfinishedKey } from '@millrace/shared/ledger/object-keys.ts'
import { toObjectMetadata } from '@millrace/shared/ledger/object-metadata.ts'
import { unquoted } from '@millrace/shared/ledger/originals.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { Part } from '../uploads/multipart-uploads.ts'

/** The user metadata of unfinished bytes that says which part they begin. */
const partNumberName = 'part-number'

/** Bytes that begin a part. */
export type Unfinished = { partNumber: number; size: number }

/**
 * The bytes of tus uploads on their way into S3: whole parts, and what does not fill one yet, which lies in an
 * object of its own beside the originals, since S3 takes no part under 5 MiB but the last.
 *
 * @param deps.s3 for all but the bytes
 * @param deps.streamingS3 for the bytes, which it sends unhashed
 * @param deps.bucket the bucket of all keys
 */
export function createTusParts(deps: { s3: S3Client; streamingS3: S3Client; bucket: string }) {
  const { s3, streamingS3, bucket } = deps

  return {
    async send(
      address: UploadAddress,
      multipartId: string,
      { partNumber, bytes }: { partNumber: number; bytes: Buffer },
      signal: AbortSignal,
    ): Promise<Part> {
      const { ETag } = await streamingS3.send(
        new UploadPartCommand({
          Bucket: bucket,
          Key: originalKey(address),
          UploadId: multipartId,
          PartNumber: partNumber,
          Body: bytes,
        }),
        { abortSignal: signal },
      )
      if (!ETag) throw new AppError('dependency_unavailable')
      return { partNumber, etag: unquoted(ETag), size: bytes.length }
    },

    /** Makes an original of a file that is small enough to be one part. */
    async putOriginal(
      address: UploadAddress,
      intent: UploadIntent,
      bytes: Buffer,
      signal: AbortSignal,
    ): Promise<void> {
      await streamingS3.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: originalKey(address),
          ContentType: intent.contentType,
          Metadata: toObjectMetadata(intent),
          Body: bytes,
        }),
        { abortSignal: signal },
      )
    },

    /**
     * Keeps bytes that do not fill their part. They name the part that they begin: once S3 has that one, they
     * count no more, so nothing has to be deleted at the right moment.
     */
    async putUnfinished(
      address: UploadAddress,
      { partNumber, bytes }: { partNumber: number; bytes: Buffer },
      signal: AbortSignal,
    ): Promise<void> {
      await streamingS3.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: unfinishedKey(address),
          Metadata: { [partNumberName]: String(partNumber) },
          Body: bytes,
        }),
        { abortSignal: signal },
      )
    },

    /** @returns what lies there, or undefined where nothing does */
    async findUnfinished(address: UploadAddress): Promise<Unfinished | undefined> {
      try {
        const { ContentLength, Metadata } = await s3.send(
          new HeadObjectCommand({ Bucket: bucket, Key: unfinishedKey(address) }),
        )
        return { partNumber: Number(Metadata?.[partNumberName]), size: ContentLength ?? 0 }
      } catch (error) {
        if (error instanceof NotFound) return undefined
        throw error
      }
    },

    async readUnfinished(address: UploadAddress): Promise<Uint8Array> {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: unfinishedKey(address) }))
      if (!Body) throw new AppError('dependency_unavailable')
      return Body.transformToByteArray()
    },
  }
}

export type TusParts = ReturnType<typeof createTusParts>
