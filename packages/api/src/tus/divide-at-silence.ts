/**
 * Divides a body where its client is silent. So the bytes that came can be stored, although more may follow: the client
 * may be gone without the server's notice.
 *
 * @param chunks the body. It stays open until `close`
 */
export function divideAtSilence(chunks: AsyncIterable<Buffer>) {
  const iterator = chunks[Symbol.asyncIterator]()
  let next: Promise<IteratorResult<Buffer>> | undefined
  let isEnded = false

  return {
    /**
     * Returns the next bytes, until the body ends or nothing comes for `silenceMs` after at least one chunk. Time in which
     * the caller does not read does not count.
     */
    async *piece(silenceMs: number): AsyncGenerator<Buffer> {
      for (let isFirst = true; ; isFirst = false) {
        next ??= iterator.next()
        const result = await (isFirst ? next : unlessSilent(next, silenceMs))
        if (!result) return
        next = undefined
        if (result.done) {
          isEnded = true
          return
        }
        yield result.value
      }
    },

    /** Whether the body has ended. */
    isEnded: () => isEnded,

    /** Stops reading. */
    close(): void {
      // A failed body was reported to its reader.
      next?.catch(() => undefined)
      iterator.return?.().catch(() => undefined)
    },
  }
}

async function unlessSilent<T>(next: Promise<T>, silenceMs: number): Promise<T | undefined> {
  if (silenceMs === Number.POSITIVE_INFINITY) return next
  const silence = Promise.withResolvers<undefined>()
  // When a busy process comes back to its timers, bytes may have come that it has not read yet. It reads them before it
  // calls setImmediate's functions, so that its own delay is no silence of the client.
  const timer = setTimeout(() => setImmediate(silence.resolve, undefined), silenceMs)
  try {
    return await Promise.race([next, silence.promise])
  } finally {
    clearTimeout(timer)
  }
}
