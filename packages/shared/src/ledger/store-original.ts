import type { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import type { Logger } from 'pino'
import { AppError } from '../service/app-error.ts'
import { emptyFile, tooLarge } from '../uploads/file-errors.ts'
import type { Arrival, UploadIntent } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { createAbortMultipartUploads } from './abort-multipart-uploads.ts'
import { originalKey } from './object-keys.ts'
import { toObjectMetadata } from './object-metadata.ts'
import { describeArrival } from './originals.ts'
import { createSendParts } from './send-parts.ts'
import { createUploadPart } from './upload-part.ts'

/** S3's limit of one PUT, in bytes (S3 API, "Uploading objects"). */
export const putLimitBytes = 5 * 1024 ** 3

/** An original whose size is unknown until its last byte arrives. */
export type GrowingOriginal = {
  chunks: AsyncIterable<Buffer>
  /** Size of each part except the last, in bytes. */
  partBytes: (partNumber: number) => number
  /** Limit of the file's size, in bytes. A larger file is rejected as soon as it exceeds the limit. */
  limitBytes: number
  /** Called with the size after the last byte, before S3 creates the object. If it throws, sending ends. */
  beforeCommit: (size: number) => Promise<void>
  signal: AbortSignal
}

/**
 * Writes originals to S3 while they come in, with back-pressure: the source is read only as fast as S3
 * accepts bytes.
 *
 * @param deps.s3 the client for all other requests
 * @param deps.streamingS3 the client for the bytes: it computes no checksums, and slow bodies do not time out
 * @param deps.bucket the bucket of all keys
 */
export function createStoreOriginal(deps: {
  s3: S3Client
  streamingS3: S3Client
  bucket: string
  log: Pick<Logger, 'warn'>
}) {
  const { s3, streamingS3, bucket, log } = deps
  const sendParts = createSendParts()
  const uploadPart = createUploadPart({ streamingS3, bucket })
  const abortMultipartUploads = createAbortMultipartUploads({ s3, bucket })

  return {
    /**
     * Streams a body of `intent.size` bytes (at most 5 GiB) to S3 with one PUT. S3 creates the object only if
     * it receives the whole body.
     *
     * @returns the arrival
     */
    async inOnePut(
      address: UploadAddress,
      intent: UploadIntent,
      body: Readable,
      signal: AbortSignal,
    ): Promise<Arrival> {
      const response = await streamingS3.send(
        new PutObjectCommand({ ...object(address, intent), Body: body, ContentLength: intent.size }),
        { abortSignal: signal },
      )
      return describeArrival(response, intent.size)
    },

    /**
     * Sends a body in parts, or with one PUT if it is shorter than a part. On failure the parts are deleted.
     *
     * @returns the arrival
     * @throws AppError `upload_too_large`, or `invalid_request` if the body is empty
     */
    async inParts(address: UploadAddress, intent: UploadIntent, original: GrowingOriginal): Promise<Arrival> {
      const { chunks, partBytes, limitBytes, beforeCommit, signal } = original
      const multipart = createMultipart(address, intent, signal)
      let size = 0
      try {
        const last = await sendParts({
          chunks,
          partBytes,
          onChunk(chunk) {
            size += chunk.length
            if (size > limitBytes) throw tooLarge(limitBytes)
          },
          send: multipart.send,
        })
        signal.throwIfAborted()
        if (size === 0) throw emptyFile()
        if (last.partNumber === 1) {
          await beforeCommit(size)
          const response = await streamingS3.send(
            new PutObjectCommand({ ...object(address, intent), Body: last.bytes }),
            { abortSignal: signal },
          )
          last.release()
          return describeArrival(response, size)
        }
        if (last.bytes.length > 0) await multipart.send(last.partNumber, last.bytes)
        last.release()
        await beforeCommit(size)
        return describeArrival(await multipart.complete(), size)
      } catch (error) {
        await multipart.abort()
        throw error
      }
    },
  }

  function object(address: UploadAddress, intent: UploadIntent) {
    return {
      Bucket: bucket,
      Key: originalKey(address),
      ContentType: intent.contentType,
      Metadata: toObjectMetadata(intent),
    }
  }

  /** A multipart upload. S3 opens it when the first part is sent. Parts are sent one at a time. */
  function createMultipart(address: UploadAddress, intent: UploadIntent, signal: AbortSignal) {
    const etags: string[] = []
    const target = { Bucket: bucket, Key: originalKey(address) }
    let opening = false
    let uploadId: string | undefined

    /** Without `signal`: an aborted request leaves an upload in S3 whose id is unknown. */
    async function open(): Promise<string> {
      opening = true
      const { UploadId } = await s3.send(new CreateMultipartUploadCommand(object(address, intent)))
      if (!UploadId) throw new AppError('dependency_unavailable')
      return UploadId
    }

    return {
      async send(partNumber: number, bytes: Buffer): Promise<void> {
        uploadId ??= await open()
        etags.push(await uploadPart(address, uploadId, { partNumber, bytes }, signal))
      },

      complete() {
        return s3.send(
          new CompleteMultipartUploadCommand({
            ...target,
            UploadId: uploadId,
            MultipartUpload: { Parts: etags.map((ETag, index) => ({ PartNumber: index + 1, ETag })) },
          }),
        )
      },

      /** Deletes the parts. Call it when no part is being sent: S3 could store that part afterwards. */
      async abort(): Promise<void> {
        if (!opening) return
        try {
          if (uploadId) await s3.send(new AbortMultipartUploadCommand({ ...target, UploadId: uploadId }))
          // The response was lost, maybe several times, since the SDK retries.
          else await abortMultipartUploads(target.Key)
        } catch (error) {
          // The caller needs the first error. The bucket's lifecycle rule aborts the multipart upload later.
          log.warn({ err: error }, 'multipart upload not aborted')
        }
      },
    }
  }
}

export type StoreOriginal = ReturnType<typeof createStoreOriginal>
