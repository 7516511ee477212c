/**
 * Measures how long the oldest active job of this process has been running, over all queues.
 *
 * @param now a monotonic clock, in ms
 */
export function createOldestJob(now: () => number = () => performance.now()) {
  // A set keeps the order of insertion, so the first job is the oldest one.
  const active = new Set<{ startedAtMs: number }>()

  return {
    /** Adds an attempt. @returns a function to call once, when the attempt ends */
    begin() {
      const job = { startedAtMs: now() }
      active.add(job)
      return (): void => void active.delete(job)
    },
    /** Returns the age of the oldest active job in ms, or 0 if there is none. */
    ageMs(): number {
      const [oldest] = active
      return oldest ? now() - oldest.startedAtMs : 0
    },
  }
}

export type OldestJob = ReturnType<typeof createOldestJob>
