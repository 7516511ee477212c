import { createPartBuffers } from './part-buffers.ts'

/** A file, or the rest of a file, that is sent in parts while its bytes come in. */
export type PartStream = {
  chunks: AsyncIterable<Buffer>
  /** The part to begin with, its position in the file (bytes), and its bytes that came earlier. */
  first?: { partNumber: number; startBytes: number; bytes?: Uint8Array }
  /** Size of each part except the last, in bytes. */
  partBytes: (partNumber: number) => number
  /** Size of the file in bytes, if known. Then the last part is returned, even if it is a whole part. */
  fileBytes?: number
  /**
   * Called before a chunk is copied. If it throws, sending ends. It must throw if there are more than
   * `fileBytes`.
   */
  onChunk: (chunk: Buffer) => void
  /** Sends a part. The bytes do not change until the promise settles. */
  send: (partNumber: number, bytes: Buffer) => Promise<void>
}

/** The unsent last bytes: less than a part, or the last part of a file of known size. May be empty. */
export type LastPart = {
  partNumber: number
  bytes: Buffer
  /** Makes the memory available again. Call it once the bytes are sent; never if sending them failed. */
  release(): void
}

/**
 * Creates a part sender. All its streams share one pool of buffers
 * (docs/decisions/0012-collect-garbage-while-bodies-stream.md).
 */
export function createSendParts() {
  const buffers = createPartBuffers()

  /**
   * Collects a part while the previous one is being sent. So at most two parts are in memory, and at most one
   * is being sent. The stream is read as fast as the parts are sent.
   *
   * @returns the last bytes, once all parts before them are sent
   * @throws the first error of the chunks, `onChunk` or `send`, once no part is being sent any more
   */
  return async function sendParts(stream: PartStream): Promise<LastPart> {
    const { chunks, first, partBytes, fileBytes = Number.POSITIVE_INFINITY, onChunk, send } = stream
    let { partNumber, startBytes } = first ?? { partNumber: 1, startBytes: 0 }
    const acquireBuffer = () => {
      const wholeBytes = partBytes(partNumber)
      return buffers.acquire(Math.min(wholeBytes, fileBytes - startBytes), wholeBytes)
    }
    let part = acquireBuffer()
    let filledBytes = first?.bytes?.length ?? 0
    if (first?.bytes) part.set(first.bytes)
    let sending: { part: Buffer; sent: Promise<void> } | undefined
    const settleSending = async () => {
      if (!sending) return
      await sending.sent
      buffers.release(sending.part)
      sending = undefined
    }
    try {
      for await (const chunk of chunks) {
        onChunk(chunk)
        for (let copiedBytes = 0; copiedBytes < chunk.length; ) {
          const length = chunk.copy(part, filledBytes, copiedBytes)
          copiedBytes += length
          filledBytes += length
          if (filledBytes < part.length || startBytes + filledBytes === fileBytes) continue
          await settleSending()
          sending = { part, sent: send(partNumber, part) }
          // Awaited before the next part is sent. Until then a rejection must not count as unhandled.
          sending.sent.catch(() => undefined)
          startBytes += part.length
          partNumber += 1
          part = acquireBuffer()
          filledBytes = 0
        }
      }
      await settleSending()
    } finally {
      await sending?.sent.catch(() => undefined)
    }
    return { partNumber, bytes: part.subarray(0, filledBytes), release: () => buffers.release(part) }
  }
}

export type SendParts = ReturnType<typeof createSendParts>
