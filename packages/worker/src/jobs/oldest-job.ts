/**
 * Knows how long the oldest of this process' jobs has been under way, whichever queue it came from.
 *
 * @param now milliseconds, of a clock that never goes back
 */
export function createOldestJob(now: () => number = () => performance.now()) {
  // In the order in which they began: the first one is the oldest.
  const underWay = new Set<{ beganAtMs: number }>()

  return {
    /** An attempt begins. @returns a function to call once, at its end */
    begin() {
      const work = { beganAtMs: now() }
      underWay.add(work)
      return (): void => void underWay.delete(work)
    },
    /** Milliseconds; 0 where there is none. */
    ageMs(): number {
      const [oldest] = underWay
      return oldest ? now() - oldest.beganAtMs : 0
    },
  }
}

export type OldestJob = ReturnType<typeof createOldestJob>
