/** A request for a share of something limited. */
export type Share = {
  /** In the unit of the capacity, not above it. */
  cost: number
  /** Large shares together have a smaller capacity, so that small ones find room beside them. */
  isLarge: boolean
}

type Waiting = Share & { passed: number; admit: () => void }

/**
 * How many jobs may pass a large one that does not fit: after that, it is the next. Some hundred photos take a few
 * seconds.
 */
const maxPassed = 100

/**
 * Admits jobs by what they cost. Jobs that do not fit wait, and smaller ones pass them.
 *
 * @param capacity of all jobs together
 * @param largeCapacity of large ones; a single large one is always admitted if it fits into the capacity
 * @param onLargeWaiting is called with the number of large jobs that wait, when it changes
 */
export function createAdmission(deps: {
  capacity: number
  largeCapacity: number
  onLargeWaiting?: (count: number) => void
}) {
  const { capacity, largeCapacity, onLargeWaiting = () => {} } = deps
  const waiting: Waiting[] = []
  let used = 0
  let usedByLarge = 0
  let largeWaiting = 0

  function hasRoom({ cost }: Share): boolean {
    return used + cost <= capacity
  }

  function hasLargeRoom({ cost, isLarge }: Share): boolean {
    return !isLarge || usedByLarge === 0 || usedByLarge + cost <= largeCapacity
  }

  function admitWaiting(): void {
    const blocked: Waiting[] = []
    for (const job of [...waiting]) {
      if (blocked.some(({ passed }) => passed >= maxPassed)) break
      if (!hasLargeRoom(job)) continue
      if (!hasRoom(job)) {
        blocked.push(job)
        continue
      }
      for (const one of blocked) one.passed += 1
      remove(job)
      take(job)
      job.admit()
    }
    countLarge()
  }

  function remove(job: Waiting): void {
    const index = waiting.indexOf(job)
    if (index !== -1) waiting.splice(index, 1)
  }

  function take({ cost, isLarge }: Share): void {
    used += cost
    if (isLarge) usedByLarge += cost
  }

  function countLarge(): void {
    const count = waiting.filter(({ isLarge }) => isLarge).length
    if (count === largeWaiting) return
    largeWaiting = count
    onLargeWaiting(count)
  }

  return {
    /** Returns the sum of the shares that are held. */
    used: () => used,

    /**
     * Waits for a share.
     * @returns a function that gives it back; later calls of it do nothing
     * @throws the signal's reason if it aborts
     */
    async acquire(share: Share, signal: AbortSignal): Promise<() => void> {
      signal.throwIfAborted()
      const admitted = Promise.withResolvers<void>()
      const job: Waiting = { ...share, passed: 0, admit: admitted.resolve }
      const abort = () => {
        remove(job)
        admitWaiting()
        admitted.reject(signal.reason)
      }
      signal.addEventListener('abort', abort, { once: true })
      waiting.push(job)
      admitWaiting()
      try {
        await admitted.promise
      } finally {
        signal.removeEventListener('abort', abort)
      }
      let isHeld = true
      return () => {
        if (!isHeld) return
        isHeld = false
        used -= share.cost
        if (share.isLarge) usedByLarge -= share.cost
        admitWaiting()
      }
    },
  }
}

export type Admission = ReturnType<typeof createAdmission>
