import { Readable } from 'node:stream'
import type { StreamDivider } from '@millrace/shared/parts/divide-stream.ts'
import type { EarlierBytes } from '@millrace/shared/parts/send-parts.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { ChunkChecksum } from './tus-checksum.ts'
import type { TusBytes } from './tus-parts.ts'

/** The bytes of one request that belong to large parts. */
export type LargeParts = {
  upload: Upload
  /** The part to begin with, its position in the file (bytes), and its bytes that came earlier. */
  first: { partNumber: number; startBytes: number; earlier?: EarlierBytes }
  /** Returns the size of a part, unless it is the last, in bytes. */
  partBytes: (partNumber: number) => number
  /** The rest of the request's body. */
  body: StreamDivider
  /** Size of the rest of the body, in bytes. */
  bodyBytes: number
  chunk: {
    /** Returns why the body was interrupted, or undefined if all of it came. */
    interruption(): AppError | undefined
    checksum?: ChunkChecksum | undefined
    /** Aborts when the upload's lock is lost. */
    lost: AbortSignal
  }
  /** Called with all bytes of the body, before they are sent. If it throws, sending ends. */
  onChunk: (bytes: Buffer) => void
  /** Called once the checksum of the body matches, before its last bytes are sent. */
  onVerified: () => Promise<void>
  /** Sends a part. */
  send: (part: TusBytes, signal: AbortSignal) => Promise<void>
  /** Stores the bytes of a part that is not whole. */
  putUnfinished: (part: TusBytes, signal: AbortSignal) => Promise<void>
}

/**
 * Creates a sender of parts that are too large to be collected in memory: parts of files above 78 GiB, after their first
 * 7.8 GiB. They are streamed, so S3 has to know their size before the first byte, and stores nothing of a request that
 * ends early. If a request ends within a part, its bytes are stored as unfinished bytes, after those that were stored
 * already.
 */
export function createSendLargeParts() {
  /**
   * Sends the rest of a request's body.
   *
   * @throws AppError the reason of an interruption, `chunk_checksum_mismatch`, and what `onChunk` and `send` throw
   */
  return async function sendLargeParts(parts: LargeParts): Promise<void> {
    const { upload, partBytes, chunk, send, putUnfinished } = parts
    const { size } = upload.intent
    let { partNumber, startBytes, earlier } = parts.first
    let missingBytes = parts.bodyBytes
    while (missingBytes > 0) {
      const wholeBytes = Math.min(partBytes(partNumber), size - startBytes)
      const earlierBytes = earlier?.length ?? 0
      const newBytes = Math.min(missingBytes, wholeBytes - earlierBytes)
      missingBytes -= newBytes
      const isWhole = earlierBytes + newBytes === wholeBytes
      await streamBytes(parts, { earlier, newBytes, isLast: missingBytes === 0 }, (bytes, signal) => {
        const part = { partNumber, bytes, size: earlierBytes + newBytes }
        return isWhole ? send(part, signal) : putUnfinished(part, signal)
      })
      if (!isWhole) return
      startBytes += wholeBytes
      partNumber += 1
      earlier = undefined
    }
    chunk.lost.throwIfAborted()
  }

  /** Sends a stream of earlier and new bytes. */
  async function streamBytes(
    { chunk, body, onChunk, onVerified }: LargeParts,
    { earlier, newBytes, isLast }: { earlier: EarlierBytes | undefined; newBytes: number; isLast: boolean },
    send: (bytes: Readable, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    const failed = new AbortController()
    const fail = (error: Error) => failed.abort(error)

    async function* read() {
      if (earlier) yield* await earlier.read()
      let last: Buffer | undefined
      for await (const bytes of body.next(newBytes, fail)) {
        onChunk(bytes)
        if (last) yield last
        last = bytes
      }
      // S3 stores nothing without the last bytes.
      if (isLast && chunk.checksum) {
        chunk.checksum.verify()
        chunk.lost.throwIfAborted()
        // Unfinished bytes replace those of an earlier part, whose other bytes must count by then.
        await onVerified()
      }
      if (last) yield last
    }

    const bytes = Readable.from(read(), { objectMode: false }).on('error', fail)
    try {
      await send(bytes, AbortSignal.any([chunk.lost, failed.signal]))
    } catch (error) {
      bytes.destroy()
      chunk.lost.throwIfAborted()
      if (!failed.signal.aborted) throw error
      const { reason } = failed.signal
      throw reason instanceof AppError ? reason : (chunk.interruption() ?? reason)
    }
  }
}
