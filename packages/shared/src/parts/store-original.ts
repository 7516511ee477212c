import type { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import type { Logger } from 'pino'
import { originalKey } from '../ledger/object-keys.ts'
import { toObjectMetadata } from '../ledger/object-metadata.ts'
import { describeArrival } from '../ledger/originals.ts'
import { AppError } from '../service/app-error.ts'
import { tooLarge } from '../uploads/file-errors.ts'
import type { Arrival, UploadIntent } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { createAbortMultipartUploads } from './abort-multipart-uploads.ts'
import { createStreamDivider } from './divide-stream.ts'
import type { BufferRequest } from './part-buffers.ts'
import { bufferedPartBytes, streamedPartBytes, unknownSizeLimitBytes } from './part-plan.ts'
import type { SendParts } from './send-parts.ts'
import { createUploadPart } from './upload-part.ts'

/** S3's limit of one PUT, in bytes (S3 API, "Uploading objects"). */
const putLimitBytes = 5 * 1024 ** 3

/** An original whose size is unknown until its last byte arrives. */
export type GrowingOriginal = {
  chunks: AsyncIterable<Buffer>
  /** Upper limit of the size in bytes, if one was declared. It only saves memory for small files. */
  maxBytes?: number | undefined
  /** Limit of the file's size, in bytes. A larger file is rejected as soon as it exceeds the limit. */
  limitBytes: number
  /** Creates the error of a larger file, if the limit is not the service's own. */
  exceeded?: (() => AppError) | undefined
  /** Called with the size after the last byte, before S3 creates the object. If it throws, sending ends. */
  beforeCommit: (size: number) => Promise<void>
  /** To whom the memory of the parts counts. Its signal ends the whole upload. */
  buffering: BufferRequest
}

/**
 * Writes originals to S3 while they come in, with back-pressure: the source is read only as fast as S3
 * accepts bytes.
 *
 * @param deps.s3 the client for all other requests
 * @param deps.streamingS3 the client for the bytes: it computes no checksums, and slow bodies do not time out
 * @param deps.sendParts collects the parts of files of unknown size
 * @param deps.bucket the bucket of all keys
 * @param deps.sizes replaces the limit of one PUT, and the sizes of parts, in bytes
 */
export function createStoreOriginal(deps: {
  s3: S3Client
  streamingS3: S3Client
  sendParts: SendParts
  bucket: string
  log: Pick<Logger, 'warn'>
  sizes?: { put: number; streamedPart: number; bufferedPart: number }
}) {
  const { s3, streamingS3, sendParts, bucket, log } = deps
  const { sizes = { put: putLimitBytes, streamedPart: streamedPartBytes, bufferedPart: bufferedPartBytes } } =
    deps
  const uploadPart = createUploadPart({ streamingS3, bucket })
  const abortMultipartUploads = createAbortMultipartUploads({ s3, bucket })

  return {
    /**
     * Streams a body of `intent.size` bytes to S3, without collecting it: up to 5 GiB with one PUT, above in parts. S3
     * creates the object only if it receives the whole body. On failure the parts are deleted.
     *
     * @returns the arrival
     */
    async ofKnownSize(
      address: UploadAddress,
      intent: UploadIntent,
      body: Readable,
      signal: AbortSignal,
    ): Promise<Arrival> {
      if (intent.size <= sizes.put) return inOnePut(address, intent, body, signal)
      const failed = new AbortController()
      const multipart = createMultipart(address, intent, AbortSignal.any([signal, failed.signal]))
      // If the file is refused while it streams, the connection must stay open for the response.
      const divider = createStreamDivider(body.iterator({ destroyOnReturn: false }))
      try {
        for (let missing = intent.size; missing > 0; ) {
          const size = Math.min(missing, sizes.streamedPart)
          await multipart.send({ bytes: divider.next(size, (error) => failed.abort(error)), size })
          missing -= size
        }
        return describeArrival(await multipart.complete(), intent.size)
      } catch (error) {
        divider.close()
        await multipart.abort()
        throw failed.signal.aborted ? failed.signal.reason : error
      }
    },

    /**
     * Sends a body in parts, or with one PUT if it is shorter than a part. On failure the parts are deleted.
     *
     * @returns the arrival
     * @throws AppError `upload_too_large`; `too_many_uploads` or `overloaded` if there is no memory for its first bytes
     */
    async ofUnknownSize(
      address: UploadAddress,
      intent: UploadIntent,
      original: GrowingOriginal,
    ): Promise<Arrival> {
      const { chunks, maxBytes, beforeCommit, buffering, exceeded = () => tooLarge(limitBytes) } = original
      const { signal } = buffering
      const limitBytes = Math.min(original.limitBytes, unknownSizeLimitBytes)
      const multipart = createMultipart(address, intent, signal)
      let size = 0
      const parts = {
        chunks,
        partBytes: sizes.bufferedPart,
        maxBytes,
        onChunk(chunk: Buffer) {
          size += chunk.length
          if (size > limitBytes) throw exceeded()
        },
        send: (_partNumber: number, bytes: Buffer) => multipart.send({ bytes }),
        buffering,
      }
      try {
        return await sendParts(parts, async ({ partNumber, bytes }) => {
          signal.throwIfAborted()
          if (partNumber === 1) {
            await beforeCommit(size)
            const response = await streamingS3.send(
              new PutObjectCommand({ ...object(address, intent), Body: bytes }),
              { abortSignal: signal },
            )
            return describeArrival(response, size)
          }
          if (bytes.length > 0) await multipart.send({ bytes })
          await beforeCommit(size)
          return describeArrival(await multipart.complete(), size)
        })
      } catch (error) {
        await multipart.abort()
        throw error
      }
    },
  }

  async function inOnePut(
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
      /** Sends the next part: all its bytes, or a stream of `size` bytes. */
      async send(part: { bytes: Buffer } | { bytes: Readable; size: number }): Promise<void> {
        uploadId ??= await open()
        const partNumber = etags.length + 1
        etags.push(await uploadPart(address, uploadId, { partNumber, ...part }, signal))
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
