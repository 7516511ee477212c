/**
 * Lets so many pieces of work run at once, the others in the order in which they came.
 *
 * @param count how many at once
 */
export function createSlots(count: number) {
  let free = count
  const waiting: (() => void)[] = []

  return {
    /** Runs the work when there is a slot. Throws the signal's reason when it aborts before that. */
    async use<Result>(signal: AbortSignal, work: () => Promise<Result>): Promise<Result> {
      await take(signal)
      try {
        return await work()
      } finally {
        const next = waiting.shift()
        if (next) next()
        else free += 1
      }
    },
  }

  function take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    if (free > 0) {
      free -= 1
      return Promise.resolve()
    }
    return new Promise((resolve, reject) => {
      const onTurn = () => {
        signal.removeEventListener('abort', onAbort)
        resolve()
      }
      const onAbort = () => {
        waiting.splice(waiting.indexOf(onTurn), 1)
        reject(signal.reason)
      }
      waiting.push(onTurn)
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }
}

export type Slots = ReturnType<typeof createSlots>
