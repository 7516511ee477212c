import type { Readable } from 'node:stream'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import type { Logger } from 'pino'
import { AppError } from '../service/app-error.ts'
import type { Arrival, UploadIntent } from '../uploads/upload.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import { originalKey } from './object-keys.ts'
import { toObjectMetadata } from './object-metadata.ts'
import { describeArrival } from './originals.ts'
import { createPartBuffers } from './part-buffers.ts'

/** What S3 takes in one PUT (S3 API, "Uploading objects"), bytes. */
export const putLimitBytes = 5 * 1024 ** 3

/** An original of which nobody knows the size until its last byte has come. */
export type GrowingOriginal = {
  chunks: AsyncIterable<Buffer>
  /** Size of each part but the last, bytes. */
  partBytes: (partNumber: number) => number
  /** More is refused as soon as it comes. */
  limitBytes: number
  /** Told the size once the last byte is in, before S3 makes an object of it. What it throws ends the upload. */
  beforeCommit: (size: number) => Promise<void>
  signal: AbortSignal
}

/**
 * Writes originals into S3 as they come in, as fast as S3 takes them and no faster.
 *
 * @param deps.s3 for all but the bytes
 * @param deps.streamingS3 for the bytes: neither computes checksums nor cuts slow bodies
 * @param deps.bucket the bucket of all keys
 */
export function createStoreOriginal(deps: {
  s3: S3Client
  streamingS3: S3Client
  bucket: string
  log: Pick<Logger, 'warn'>
}) {
  const { s3, streamingS3, bucket, log } = deps
  const buffers = createPartBuffers()

  return {
    /**
     * Passes a body of `intent.size` bytes (at most 5 GiB) straight on. S3 makes an object of all of it or
     * none of it.
     *
     * @returns what S3 made of it
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
     * Collects a part while the one before it is on its way: two parts in memory, never more. What fits into
     * one part becomes one PUT. Whatever goes wrong, no part stays behind.
     *
     * @returns what S3 made of it
     * @throws AppError `upload_too_large`, or `invalid_request` where no byte came
     */
    async inParts(address: UploadAddress, intent: UploadIntent, original: GrowingOriginal): Promise<Arrival> {
      const { chunks, partBytes, limitBytes, beforeCommit, signal } = original
      const parts = createPartSender(address, intent, signal)
      try {
        let partNumber = 1
        let part = buffers.take(partBytes(partNumber))
        let underWay: Buffer | undefined
        let filled = 0
        let size = 0
        for await (const chunk of chunks) {
          size += chunk.length
          if (size > limitBytes) throw tooLarge(limitBytes)
          for (let taken = 0; taken < chunk.length; ) {
            const copied = chunk.copy(part, filled, taken)
            taken += copied
            filled += copied
            if (filled < part.length) continue
            await parts.settled()
            if (underWay) buffers.giveBack(underWay)
            await parts.send(partNumber, part)
            underWay = part
            partNumber++
            part = buffers.take(partBytes(partNumber))
            filled = 0
          }
        }
        signal.throwIfAborted()
        if (size === 0) throw emptyFile()
        const rest = part.subarray(0, filled)
        if (partNumber === 1) {
          await beforeCommit(size)
          const made = await streamingS3.send(
            new PutObjectCommand({ ...object(address, intent), Body: rest }),
            { abortSignal: signal },
          )
          buffers.giveBack(part)
          return describeArrival(made, size)
        }
        await parts.settled()
        if (underWay) buffers.giveBack(underWay)
        if (filled > 0) await parts.send(partNumber, rest)
        await parts.settled()
        buffers.giveBack(part)
        await beforeCommit(size)
        return describeArrival(await parts.complete(), size)
      } catch (error) {
        await parts.abort()
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

  /** One multipart upload, opened with its first part; one part under way at a time. */
  function createPartSender(address: UploadAddress, intent: UploadIntent, signal: AbortSignal) {
    const etags: string[] = []
    const where = { Bucket: bucket, Key: originalKey(address) }
    let uploadId: string | undefined
    let underWay: Promise<void> = Promise.resolve()

    async function sendPart(partNumber: number, bytes: Buffer): Promise<void> {
      const part = { ...where, UploadId: uploadId, PartNumber: partNumber, Body: bytes }
      const { ETag } = await streamingS3.send(new UploadPartCommand(part), { abortSignal: signal })
      if (!ETag) throw new AppError('dependency_unavailable')
      etags.push(ETag)
    }

    return {
      /** Starts to send a part. Returns before it is sent: its bytes must stay as they are until `settled`. */
      async send(partNumber: number, bytes: Buffer): Promise<void> {
        if (!uploadId) {
          const created = await s3.send(new CreateMultipartUploadCommand(object(address, intent)), {
            abortSignal: signal,
          })
          uploadId = created.UploadId
          if (!uploadId) throw new AppError('dependency_unavailable')
        }
        underWay = sendPart(partNumber, bytes)
        // Whoever awaits `settled` learns of it; until then it must not count as unhandled.
        underWay.catch(() => undefined)
      },

      /** Settles as the part under way does. */
      settled: () => underWay,

      complete() {
        return s3.send(
          new CompleteMultipartUploadCommand({
            ...where,
            UploadId: uploadId,
            MultipartUpload: { Parts: etags.map((ETag, index) => ({ PartNumber: index + 1, ETag })) },
          }),
        )
      },

      /** Lets S3 forget the parts. A part that was still under way could come to lie there afterwards. */
      async abort(): Promise<void> {
        if (!uploadId) return
        await underWay.catch(() => undefined)
        try {
          await s3.send(new AbortMultipartUploadCommand({ ...where, UploadId: uploadId }))
        } catch (error) {
          // The bucket's lifecycle rule aborts what stays open; the caller has the first failure to tell of.
          log.warn({ err: error }, 'multipart upload not aborted')
        }
      },
    }
  }
}

export type StoreOriginal = ReturnType<typeof createStoreOriginal>

export function emptyFile(): AppError {
  return new AppError('invalid_request', {
    message: 'The file is empty.',
    fields: [{ field: 'size', message: 'must be >= 1' }],
  })
}

export function tooLarge(limitBytes: number): AppError {
  return new AppError('upload_too_large', {
    message: `The file has more than ${limitBytes} bytes, which is the limit.`,
    limit: limitBytes,
  })
}
