import { createHash } from 'node:crypto'
import { addAbortSignal, Readable } from 'node:stream'
import { GetObjectCommand, type S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { detectMediaType, typeHeadBytes } from '../images/image-kind.ts'

/** An original of which the first bytes have been read. One of the three functions must be called, once. */
export type OpenedOriginal = {
  /** Bytes. */
  size: number
  /** The media type by the bytes themselves; undefined where they are of no known kind. */
  detectedType: string | undefined
  /** Reads the rest into one buffer. */
  collect(): Promise<{ bytes: Buffer; sha256: string }>
  /** Reads the rest and keeps none of it, however large it is. */
  hash(): Promise<{ sha256: string }>
  /** Leaves the rest unread. */
  discard(): void
}

/**
 * Opens originals for the worker: one request each, the SHA-256 (64 hex digits) made on the way.
 *
 * @param deps.s3 the client
 * @param deps.bucket the bucket that is the ledger
 */
export function createOriginalReader({ s3, bucket }: { s3: S3Client; bucket: string }) {
  /**
   * @param etag names the bytes that are wanted
   * @param signal ends the reading
   * @returns undefined where these bytes are no longer there: others replaced them, or the original is gone
   * @throws AppError `dependency_unavailable` when fewer or more bytes come than S3 announced
   */
  return async function openOriginal(
    address: UploadAddress,
    { etag, signal }: { etag: string; signal: AbortSignal },
  ): Promise<OpenedOriginal | undefined> {
    const response = await get(address, etag, signal)
    if (!response) return undefined
    const { Body: body, ContentLength: size } = response
    if (!(body instanceof Readable) || size === undefined) throw new Error('S3 answered without a body.')
    addAbortSignal(signal, body)
    const chunks: AsyncIterator<Buffer, undefined> = body[Symbol.asyncIterator]()
    const head = await readHead(chunks)
    return {
      size,
      detectedType: await detectMediaType(head.subarray(0, typeHeadBytes)),
      async collect() {
        // Not zeroed first, as every byte is written before the buffer is used: the count is checked below.
        const bytes = Buffer.allocUnsafeSlow(size)
        const sha256 = await readToEnd(chunks, head, size, (chunk, at) => bytes.set(chunk, at))
        return { bytes, sha256 }
      },
      async hash() {
        return { sha256: await readToEnd(chunks, head, size, () => {}) }
      },
      discard() {
        body.destroy()
      },
    }
  }

  async function get(address: UploadAddress, etag: string, abortSignal: AbortSignal) {
    try {
      return await s3.send(
        new GetObjectCommand({ Bucket: bucket, Key: originalKey(address), IfMatch: `"${etag}"` }),
        { abortSignal },
      )
    } catch (error) {
      const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
      if (status === 404 || status === 412) return undefined
      throw error
    }
  }
}

async function readHead(chunks: AsyncIterator<Buffer, undefined>): Promise<Buffer> {
  const read: Buffer[] = []
  let bytes = 0
  while (bytes < typeHeadBytes) {
    const { value, done } = await chunks.next()
    if (done) break
    read.push(value)
    bytes += value.length
  }
  return read.length === 1 && read[0] ? read[0] : Buffer.concat(read)
}

/** @returns the SHA-256 of all */
async function readToEnd(
  chunks: AsyncIterator<Buffer, undefined>,
  head: Buffer,
  size: number,
  take: (chunk: Buffer, at: number) => void,
): Promise<string> {
  const hash = createHash('sha256')
  let at = 0
  let chunk: Buffer | undefined = head
  while (chunk) {
    if (at + chunk.length > size) throw lengthMismatch(size)
    take(chunk, at)
    hash.update(chunk)
    at += chunk.length
    chunk = (await chunks.next()).value
  }
  if (at !== size) throw lengthMismatch(size)
  return hash.digest('hex')
}

function lengthMismatch(size: number): AppError {
  return new AppError('dependency_unavailable', {
    message: `S3 announced ${size} bytes and sent another number of them.`,
  })
}
