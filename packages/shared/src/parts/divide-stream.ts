import { Readable } from 'node:stream'

/**
 * Divides a stream into streams of known lengths, without collecting their bytes.
 *
 * @param chunks the whole stream. It stays open if a piece is not read to its end
 */
export function createStreamDivider(chunks: AsyncIterable<Buffer>) {
  const iterator = chunks[Symbol.asyncIterator]()
  let rest: Buffer | undefined

  /** @returns the next chunk, of at most `maxBytes`, or undefined at the end */
  async function nextChunk(maxBytes: number): Promise<Buffer | undefined> {
    while (!rest?.length) {
      const { done, value } = await iterator.next()
      if (done) return undefined
      rest = value
    }
    const chunk = rest.subarray(0, maxBytes)
    rest = rest.subarray(chunk.length)
    return chunk
  }

  return {
    /**
     * Returns the next `bytes` of the stream. The pieces are read one after the other.
     *
     * @param onError called if the piece fails: its stream fails, or ends too early. What sends the piece is not told
     */
    next(bytes: number, onError: (error: Error) => void): Readable {
      async function* piece() {
        for (let missing = bytes; missing > 0; ) {
          const chunk = await nextChunk(missing)
          if (!chunk) throw new Error('The stream ended before its last byte.')
          missing -= chunk.length
          yield chunk
        }
      }
      return Readable.from(piece(), { objectMode: false }).on('error', onError)
    },

    /** Returns at most the next `bytes`, or what there is until the stream ends. */
    async *upTo(bytes: number): AsyncGenerator<Buffer> {
      for (let missing = bytes; missing > 0; ) {
        const chunk = await nextChunk(missing)
        if (!chunk) return
        missing -= chunk.length
        yield chunk
      }
    },

    /** Stops reading. The stream stays open for other readers. */
    close(): void {
      iterator.return?.().catch(() => undefined)
    },
  }
}

export type StreamDivider = ReturnType<typeof createStreamDivider>
