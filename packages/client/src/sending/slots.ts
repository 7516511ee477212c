/** Creates a number of slots. Those who wait get them in the order of their calls. */
export function createSlots(count: number) {
  let free = count
  const waiting = new Set<() => void>()

  return {
    /**
     * Runs a function as soon as a slot is free.
     *
     * @throws the signal's reason if it aborts while the function waits; whatever the function throws
     */
    async run<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
      await acquire(signal)
      try {
        return await work()
      } finally {
        release()
      }
    },
  }

  function acquire(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (free > 0) {
      free -= 1
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const onAbort = () => {
        waiting.delete(onFree)
        reject(signal.reason)
      }
      const onFree = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      waiting.add(onFree)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  function release(): void {
    const [next] = waiting
    if (!next) {
      free += 1
      return
    }
    waiting.delete(next)
    next()
  }
}

export type Slots = ReturnType<typeof createSlots>
