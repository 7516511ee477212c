import type { BufferRequest, PartBuffer, PartBuffers } from './part-buffers.ts'

/** A file, or the rest of a file, that is sent in parts while its bytes come in. */
export type PartStream = {
  chunks: AsyncIterable<Buffer>
  /** The part to begin with, its position in the file (bytes), and its bytes that came earlier. */
  first?: { partNumber: number; startBytes: number; earlier?: EarlierBytes }
  /** Size of each part except the last, in bytes; at most that of the largest buffer. */
  partBytes: number
  /** Size of the file in bytes, if known. Then the last part is returned, even if it is a whole part. */
  fileBytes?: number
  /** Upper limit of the file's size in bytes, if known. It only saves memory for small files. */
  maxBytes?: number | undefined
  /**
   * Called before a chunk is copied. If it throws, sending ends. It must throw if there are more than
   * `fileBytes`.
   */
  onChunk: (chunk: Buffer) => void
  /** Sends a part. The bytes do not change until the promise settles. */
  send: (partNumber: number, bytes: Buffer) => Promise<void>
  /** To whom the buffers count, and how long the stream waits for its first one. */
  buffering: BufferRequest
}

/** The first bytes of a part. They are read once more bytes of the part come. */
export type EarlierBytes = { length: number; read: () => Promise<AsyncIterable<Uint8Array>> }

/** The unsent last bytes: less than a part, or the last part of a file of known size. May be empty. */
export type LastPart = { partNumber: number; bytes: Buffer }

const noBytes = Buffer.alloc(0)

/**
 * Creates a part sender.
 *
 * @param deps.buffers the buffers of this process (docs/decisions/0012-collect-garbage-while-bodies-stream.md)
 */
export function createSendParts({ buffers }: { buffers: PartBuffers }) {
  /**
   * Collects a part while the previous one is being sent. So at most two parts are in memory, and at most one
   * is being sent. If memory is short, a part is collected after the previous one was sent, in the same buffer.
   * The stream is read as fast as the parts are sent.
   *
   * A buffer is taken when the first byte comes, never because of an announced size.
   *
   * @param finish sends the last bytes, once all parts before them are sent. They do not change until its promise settles
   * @returns the result of `finish`
   * @throws the first error of the chunks, `onChunk`, `send` or `finish`, once no part is being sent any more; the errors
   *   of `buffers.acquire`, before any part was sent
   */
  return async function sendParts<Result>(
    stream: PartStream,
    finish: (last: LastPart) => Promise<Result>,
  ): Promise<Result> {
    const { chunks, first, partBytes, fileBytes, onChunk, send, buffering } = stream
    const maxBytes = fileBytes ?? stream.maxBytes ?? Number.POSITIVE_INFINITY
    let { partNumber, startBytes, earlier } = first ?? { partNumber: 1, startBytes: 0, earlier: undefined }
    let part: { buffer: PartBuffer; bytes: Buffer } | undefined
    let filledBytes = 0
    let sending: Promise<void> | undefined
    /** The buffer of a part that was sent before the next part was opened. */
    let spare: PartBuffer | undefined
    let isFinishing = false

    /** Returns an empty part of the right size. */
    async function openPart() {
      const bytes = Math.min(partBytes, maxBytes - startBytes)
      if (bytes <= 0) throw new Error('More bytes came than the file can have.')
      const buffer = await nextBuffer(bytes)
      return { buffer, bytes: buffer.memory.subarray(0, bytes) }
    }

    /** From its first buffer on, the stream always holds one. So memory may be short without failing it. */
    async function nextBuffer(bytes: number): Promise<PartBuffer> {
      if (!spare && !sending) return buffers.acquire(bytes, buffering)
      const another = spare ? undefined : buffers.acquireAnother(bytes, buffering.holder)
      if (another) return another
      await sending
      const buffer = spare
      spare = undefined
      return buffer ?? buffers.acquire(bytes, buffering)
    }

    async function startSending({ buffer, bytes }: { buffer: PartBuffer; bytes: Buffer }): Promise<void> {
      try {
        await send(partNumber, bytes)
      } catch (error) {
        buffer.discard()
        throw error
      }
      if (part || spare) buffer.release()
      else spare = buffer
    }

    async function add(chunk: Uint8Array): Promise<void> {
      for (let copiedBytes = 0; copiedBytes < chunk.length; ) {
        part ??= await openPart()
        const copied = chunk.subarray(copiedBytes, copiedBytes + part.bytes.length - filledBytes)
        part.bytes.set(copied, filledBytes)
        copiedBytes += copied.length
        filledBytes += copied.length
        if (filledBytes < part.bytes.length || startBytes + filledBytes === fileBytes) continue
        await sending
        sending = startSending(part)
        // Awaited before the next part is sent. Until then a rejection must not count as unhandled.
        sending.catch(() => undefined)
        part = undefined
        startBytes += filledBytes
        partNumber += 1
        filledBytes = 0
      }
    }

    async function addEarlier(): Promise<void> {
      const bytes = earlier
      if (!bytes) return
      earlier = undefined
      // Before S3 begins to send them.
      part = await openPart()
      for await (const chunk of await bytes.read()) await add(chunk)
    }

    try {
      for await (const chunk of chunks) {
        onChunk(chunk)
        await addEarlier()
        await add(chunk)
      }
      if (earlier && startBytes + earlier.length === fileBytes) await addEarlier()
      await sending
      isFinishing = true
      const result = await finish({ partNumber, bytes: part?.bytes.subarray(0, filledBytes) ?? noBytes })
      part?.buffer.release()
      return result
    } finally {
      await sending?.catch(() => undefined)
      spare?.release()
      // A failed request may still be reading them.
      if (isFinishing) part?.buffer.discard()
      else part?.buffer.release()
    }
  }
}

export type SendParts = ReturnType<typeof createSendParts>
