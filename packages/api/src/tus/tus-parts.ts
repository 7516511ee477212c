import { Readable } from 'node:stream'
import {
  GetObjectCommand,
  HeadObjectCommand,
  NotFound,
  PutObjectCommand,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { originalKey, unfinishedKey } from '@millrace/shared/ledger/object-keys.ts'
import { toObjectMetadata } from '@millrace/shared/ledger/object-metadata.ts'
import { createUploadPart } from '@millrace/shared/parts/upload-part.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadIntent } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { Part } from '../announcing/multipart-uploads.ts'

/** Name of the object metadata of unfinished bytes that contains their part number. */
const partNumberName = 'part-number'

/** Bytes at the beginning of a part. `size` in bytes; `etag` as S3 returns it. */
export type Unfinished = { partNumber: number; size: number; etag: string | undefined }

/** S3's errors of a conditional write: another one was first, or is being made (S3 User Guide, "Conditional writes"). */
const conditionErrors: ReadonlySet<string> = new Set([
  ...['PreconditionFailed', 'ConditionalRequestConflict'],
  // The object to replace was deleted.
  'NoSuchKey',
])

/** Bytes of a part: all of them, or a stream of `size` bytes. */
export type TusBytes = { partNumber: number } & ({ bytes: Buffer } | { bytes: Readable; size: number })

/**
 * Writes the bytes of tus uploads to S3: whole parts, and unfinished bytes. Unfinished bytes are stored in a
 * separate object, because S3 rejects parts under 5 MiB except the last.
 *
 * @param deps.s3 the client for all other requests
 * @param deps.streamingS3 the client for the bytes; it computes no checksums
 * @param deps.bucket the bucket of all keys
 */
export function createTusParts(deps: { s3: S3Client; streamingS3: S3Client; bucket: string }) {
  const { s3, streamingS3, bucket } = deps
  const uploadPart = createUploadPart({ streamingS3, bucket })

  return {
    /** Sends a part of the multipart upload `multipartId`. */
    async send(
      address: UploadAddress,
      multipartId: string,
      part: TusBytes,
      signal: AbortSignal,
    ): Promise<Part> {
      const etag = await uploadPart(address, multipartId, part, signal)
      return { partNumber: part.partNumber, etag, size: sizeOfBytes(part) }
    },

    /**
     * Stores the original of a file that fits into one part. Does nothing if there is one: another request has stored it,
     * and lost its response or its lock.
     */
    async putOriginal(
      address: UploadAddress,
      intent: UploadIntent,
      bytes: Buffer,
      signal?: AbortSignal,
    ): Promise<void> {
      try {
        await streamingS3.send(
          new PutObjectCommand({
            Bucket: bucket,
            Key: originalKey(address),
            ContentType: intent.contentType,
            Metadata: toObjectMetadata(intent),
            Body: bytes,
            IfNoneMatch: '*',
          }),
          signal ? { abortSignal: signal } : {},
        )
      } catch (error) {
        if (!isConditionError(error)) throw error
      }
    },

    /**
     * Stores unfinished bytes with their part number, in place of those that the request found. Once S3 has that part, they
     * are ignored, so they need not be deleted at a certain moment.
     *
     * @param options.replaces the unfinished bytes that the request knows; undefined: it knows none
     * @returns the unfinished bytes
     * @throws AppError `upload_locked` if another request has stored others since: this one has lost its lock
     */
    async putUnfinished(
      address: UploadAddress,
      part: TusBytes,
      { replaces, signal }: { replaces: Unfinished | undefined; signal: AbortSignal },
    ): Promise<Unfinished> {
      const size = sizeOfBytes(part)
      try {
        const { ETag } = await streamingS3.send(
          new PutObjectCommand({
            Bucket: bucket,
            Key: unfinishedKey(address),
            Metadata: { [partNumberName]: String(part.partNumber) },
            Body: part.bytes,
            ContentLength: size,
            ...(replaces ? { IfMatch: replaces.etag } : { IfNoneMatch: '*' }),
          }),
          { abortSignal: signal },
        )
        return { partNumber: part.partNumber, size, etag: ETag }
      } catch (error) {
        if (!isConditionError(error)) throw error
        throw new AppError('upload_locked', {
          message: 'Another request continues this upload.',
          cause: error,
        })
      }
    },

    /** Returns the unfinished bytes' part number, size and etag, or undefined if there are none. */
    async findUnfinished(address: UploadAddress): Promise<Unfinished | undefined> {
      try {
        const { ContentLength, Metadata, ETag } = await s3.send(
          new HeadObjectCommand({ Bucket: bucket, Key: unfinishedKey(address) }),
        )
        return { partNumber: Number(Metadata?.[partNumberName]), size: ContentLength ?? 0, etag: ETag }
      } catch (error) {
        if (error instanceof NotFound) return undefined
        throw error
      }
    },

    /**
     * Reads the first `length` unfinished bytes as a stream.
     *
     * @throws AppError `conflict` if there are fewer
     */
    async readUnfinished(address: UploadAddress, length: number): Promise<AsyncIterable<Uint8Array>> {
      const { Body, ContentLength } = await s3.send(
        new GetObjectCommand({
          Bucket: bucket,
          Key: unfinishedKey(address),
          Range: `bytes=0-${length - 1}`,
        }),
      )
      if (!(Body instanceof Readable)) throw new AppError('dependency_unavailable')
      if (ContentLength === length) return Body
      Body.destroy()
      throw new AppError('conflict')
    },
  }
}

export type TusParts = ReturnType<typeof createTusParts>

function isConditionError(error: unknown): boolean {
  return error instanceof S3ServiceException && conditionErrors.has(error.name)
}

/** Returns the number of bytes. */
export function sizeOfBytes(part: TusBytes): number {
  return 'size' in part ? part.size : part.bytes.length
}
