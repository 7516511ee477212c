import { createPartBuffers } from './part-buffers.ts'

/** A file, or the rest of one, that is sent in parts as its bytes come in. */
export type PartStream = {
  chunks: AsyncIterable<Buffer>
  /** The part to begin with, where it begins in the file (bytes), and the bytes of it that came earlier. */
  first?: { partNumber: number; startBytes: number; bytes?: Uint8Array }
  /** Size of each part but the last, bytes. */
  partBytes: (partNumber: number) => number
  /** Size of the file, if it is known. Then its last part is returned even if it is as long as the others. */
  fileBytes?: number
  /** Called before a chunk is collected. If it throws, sending ends. It must reject more than `fileBytes`. */
  onChunk: (chunk: Buffer) => void
  /** Sends a part. Its bytes stay as they are until the promise settles. */
  send: (partNumber: number, bytes: Buffer) => Promise<void>
}

/** The last bytes, which are not sent: less than a part, or the last part of a file of known size. May be empty. */
export type LastPart = {
  partNumber: number
  bytes: Buffer
  /** Gives the memory back. Call it once the bytes are not read any more, and not if sending them failed. */
  release(): void
}

/**
 * Creates the one part sender of an instance. Its buffers are shared by all streams
 * (docs/decisions/0012-collect-garbage-while-bodies-stream.md).
 */
export function createSendParts() {
  const buffers = createPartBuffers()

  /**
   * Collects a part while the one before it is being sent: two parts in memory, never more, and one on its way.
   * The stream is read as fast as the parts are sent.
   *
   * @returns the last bytes, once all parts before them are sent
   * @throws the first error of the chunks, `onChunk` or `send`, once no part is on its way any more
   */
  return async function sendParts(stream: PartStream): Promise<LastPart> {
    const { chunks, first, partBytes, fileBytes = Number.POSITIVE_INFINITY, onChunk, send } = stream
    let { partNumber, startBytes } = first ?? { partNumber: 1, startBytes: 0 }
    const takeBuffer = () => {
      const wholeBytes = partBytes(partNumber)
      return buffers.take(Math.min(wholeBytes, fileBytes - startBytes), wholeBytes)
    }
    let part = takeBuffer()
    let filled = first?.bytes?.length ?? 0
    if (first?.bytes) part.set(first.bytes)
    let sending: { part: Buffer; sent: Promise<void> } | undefined
    const settleSending = async () => {
      if (!sending) return
      await sending.sent
      buffers.giveBack(sending.part)
      sending = undefined
    }
    try {
      for await (const chunk of chunks) {
        onChunk(chunk)
        for (let taken = 0; taken < chunk.length; ) {
          const copied = chunk.copy(part, filled, taken)
          taken += copied
          filled += copied
          if (filled < part.length || startBytes + filled === fileBytes) continue
          await settleSending()
          sending = { part, sent: send(partNumber, part) }
          // Awaited before the next part; until then a failure must not count as unhandled.
          sending.sent.catch(() => undefined)
          startBytes += part.length
          partNumber += 1
          part = takeBuffer()
          filled = 0
        }
      }
      await settleSending()
    } finally {
      await sending?.sent.catch(() => undefined)
    }
    return { partNumber, bytes: part.subarray(0, filled), release: () => buffers.giveBack(part) }
  }
}

export type SendParts = ReturnType<typeof createSendParts>
