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

/** What S3 takes in one PUT (S3 API, "Uploading objects"), bytes. */
export const putLimitBytes = 5 * 1024 ** 3

/** An original whose size is unknown until its last byte has come. */
export type GrowingOriginal = {
  chunks: AsyncIterable<Buffer>
  /** Size of each part but the last, bytes. */
  partBytes: (partNumber: number) => number
  /** A larger file is rejected as soon as it is over this, bytes. */
  limitBytes: number
  /** Called with the size after the last byte, before S3 makes an object of it. If it throws, the upload ends. */
  beforeCommit: (size: number) => Promise<void>
  signal: AbortSignal
}

/**
 * Writes originals into S3 as they come in, as fast as S3 takes them and no faster.
 *
 * @param deps.s3 for all but the bytes
 * @param deps.streamingS3 for the bytes: it neither computes checksums nor times slow bodies out
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
     * Streams a body of `intent.size` bytes (at most 5 GiB) into S3 with one PUT. S3 makes an object of all of it
     * or of none of it.
     *
     * @returns the arrival
     */
    async inOnePut(
      address: UploadAddress,
      intent: UploadIntent,
      body: Readable,
      signal: AbortSignal,
    ): Promise<Arrival> {
      const made = await streamingS3.send(
        new PutObjectCommand({ ...object(address, intent), Body: body, ContentLength: intent.size }),
        { abortSignal: signal },
      )
      return describeArrival(made, intent.size)
    },

    /**
     * Sends a body in parts, or with one PUT if it is shorter than a part. If it fails, no part stays in S3.
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
          const made = await streamingS3.send(
            new PutObjectCommand({ ...object(address, intent), Body: last.bytes }),
            { abortSignal: signal },
          )
          last.release()
          return describeArrival(made, size)
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

  /** A multipart upload that is opened with its first part. Parts are sent one at a time. */
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

      /** Deletes the parts. Call it when none is on its way: S3 could store that one afterwards. */
      async abort(): Promise<void> {
        if (!opening) return
        try {
          if (uploadId) await s3.send(new AbortMultipartUploadCommand({ ...target, UploadId: uploadId }))
          // The response was lost, maybe several times, since the SDK retries.
          else await abortMultipartUploads(target.Key)
        } catch (error) {
          // The bucket's lifecycle rule aborts what stays open; the caller needs the first error.
          log.warn({ err: error }, 'multipart upload not aborted')
        }
      },
    }
  }
}

export type StoreOriginal = ReturnType<typeof createStoreOriginal>
