import { createHash } from 'node:crypto'
import { addAbortSignal, Readable } from 'node:stream'
import { GetObjectCommand, type S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { type DetectedType, detectType, typeHeadBytes } from '../types/detect-type.ts'

/**
 * Takes a file's chunks in their order, while it is read.
 * @returns undefined, or a promise that resolves when it takes more
 */
export type ChunkSink = (chunk: Buffer) => Promise<void> | undefined

/** An original whose first bytes have been read. Call `readBytes` or `hash` once, or `destroy`. */
export type OpenedOriginal = {
  /** In bytes. */
  size: number
  /** The media type, detected from the bytes; undefined if it is unknown. */
  detectedType: string | undefined
  /** What showed the type. */
  typeFoundBy: DetectedType['foundBy'] | undefined
  /**
   * Reads a part of the same bytes with a request of its own, from `start` to before `end`, in bytes.
   * @returns the part; shorter if the file ends before
   * @throws AppError `conflict` if the original was deleted or replaced meanwhile
   */
  readRange(start: number, end: number): Promise<Buffer>
  /** Reads the rest into one buffer with all bytes. @param sink also gets all bytes, from the first one */
  readBytes(sink?: ChunkSink): Promise<{ bytes: Buffer; sha256: string }>
  /** Reads the rest in constant memory, whatever its size. @param sink also gets all bytes, from the first one */
  hash(sink?: ChunkSink): Promise<{ sha256: string }>
  /** Closes the stream without reading the rest. */
  destroy(): void
}

/**
 * Reads originals from S3 with one request each, and computes the SHA-256 (64 hex digits) while reading.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createOriginalReader({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /**
   * @param etag identifies the bytes
   * @param versionId their version, if the bucket is versioned. So bytes that were sent again meanwhile, which may be
   *   discarded, do not end the attempt
   * @param signal aborts the stream
   * @returns undefined if the original was deleted or replaced by other bytes
   * @throws AppError `dependency_unavailable` if S3 sends fewer or more bytes than its Content-Length
   */
  return async function openOriginal(
    address: UploadAddress,
    { etag, versionId, signal }: { etag: string; versionId?: string | undefined; signal: AbortSignal },
  ): Promise<OpenedOriginal | undefined> {
    const response = await get(address, { etag, versionId })
    if (!response) return undefined
    const { Body: body, ContentLength: size } = response
    if (!(body instanceof Readable) || size === undefined)
      throw new Error('S3 sent a response without a body or a Content-Length.')
    addAbortSignal(signal, body)
    const chunks: AsyncIterator<Buffer, undefined> = body[Symbol.asyncIterator]()
    const head = await readHead(chunks)
    let detected: DetectedType | undefined
    try {
      detected = await detectType({ size, head, readRange })
    } catch (error) {
      body.destroy()
      throw error
    }
    return {
      size,
      detectedType: detected?.mediaType,
      typeFoundBy: detected?.foundBy,
      readRange,
      async readBytes(sink) {
        // The buffer is not zeroed: `readToEnd` checks that every byte was written.
        const bytes = Buffer.allocUnsafeSlow(size)
        const sha256 = await readToEnd(chunks, head, size, (chunk, at) => {
          bytes.set(chunk, at)
          return sink?.(chunk)
        })
        return { bytes, sha256 }
      },
      async hash(sink) {
        return { sha256: await readToEnd(chunks, head, size, (chunk) => sink?.(chunk)) }
      },
      destroy() {
        body.destroy()
      },
    }

    async function readRange(start: number, end: number): Promise<Buffer> {
      const rangeEnd = Math.min(end, Number(size))
      if (start >= rangeEnd) return Buffer.alloc(0)
      const part = await get(address, { etag, versionId, range: `bytes=${start}-${rangeEnd - 1}` })
      if (!part?.Body) throw new AppError('conflict')
      return Buffer.from(await part.Body.transformToByteArray())
    }
  }

  async function get(
    address: UploadAddress,
    { etag, versionId, range }: { etag: string; versionId: string | undefined; range?: string },
  ) {
    try {
      return await s3.send(
        new GetObjectCommand({
          Bucket: bucket,
          Key: originalKey(address),
          VersionId: versionId,
          IfMatch: `"${etag}"`,
          Range: range,
        }),
      )
    } catch (error) {
      const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
      if (status === 404 || status === 412) return undefined
      throw error
    }
  }
}

async function readHead(chunks: AsyncIterator<Buffer, undefined>): Promise<Buffer> {
  const headChunks: Buffer[] = []
  let bytes = 0
  while (bytes < typeHeadBytes) {
    const { value, done } = await chunks.next()
    if (done) break
    headChunks.push(value)
    bytes += value.length
  }
  return headChunks.length === 1 && headChunks[0] ? headChunks[0] : Buffer.concat(headChunks)
}

/**
 * @param onChunk may return a promise, which delays the next chunk
 * @returns the SHA-256 of all bytes
 */
async function readToEnd(
  chunks: AsyncIterator<Buffer, undefined>,
  head: Buffer,
  size: number,
  onChunk: (chunk: Buffer, at: number) => Promise<void> | undefined,
): Promise<string> {
  const hash = createHash('sha256')
  let at = 0
  let chunk: Buffer | undefined = head
  while (chunk) {
    if (at + chunk.length > size) throw lengthMismatch(size)
    // An empty file has no chunk: an empty one would tell clamd that the file ends.
    const taken = chunk.length > 0 ? onChunk(chunk, at) : undefined
    hash.update(chunk)
    if (taken) await taken
    at += chunk.length
    chunk = (await chunks.next()).value
  }
  if (at !== size) throw lengthMismatch(size)
  return hash.digest('hex')
}

function lengthMismatch(size: number): AppError {
  return new AppError('dependency_unavailable', {
    message: `S3 sent fewer or more bytes than its Content-Length of ${size}.`,
  })
}
