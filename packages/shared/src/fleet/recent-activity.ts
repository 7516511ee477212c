import { bucketOf, type LatencyHistogram, mergeHistograms } from './latency-histogram.ts'

/** What is told of is no older than this, in milliseconds, and forgotten a slice at a time. */
const windowMs = 60_000
const sliceMs = 10_000

/**
 * What a process has done in the last minute, and what it is doing: requests of the API, jobs of a worker.
 *
 * @param now milliseconds, of a clock that never goes back
 */
export function createRecentActivity(now: () => number = () => performance.now()) {
  const startedAt = now()
  const slices = new Map<number, Map<number, number>>()
  let underWay = 0

  function currentSlices(): Map<number, number>[] {
    const oldest = Math.floor((now() - windowMs) / sliceMs)
    for (const number of slices.keys()) if (number <= oldest) slices.delete(number)
    return [...slices.values()]
  }

  return {
    /** @returns a function to call once, when it is over; 'unmeasured' leaves its duration out */
    begin() {
      const beganAt = now()
      underWay += 1
      return (measured: 'measured' | 'unmeasured'): number => {
        const ms = now() - beganAt
        underWay -= 1
        if (measured === 'unmeasured') return ms
        const number = Math.floor(now() / sliceMs)
        const slice = slices.get(number) ?? new Map<number, number>()
        slices.set(number, slice)
        const bucket = bucketOf(ms)
        slice.set(bucket, (slice.get(bucket) ?? 0) + 1)
        return ms
      }
    },
    underWay: () => underWay,
    latency: (): LatencyHistogram => mergeHistograms(currentSlices().map((slice) => [...slice])),
    /** What was measured, per second of the last minute. */
    perSecond(): number {
      const count = currentSlices().reduce(
        (sum, slice) => sum + slice.values().reduce((all, each) => all + each, 0),
        0,
      )
      // The newest slice has only begun, so the window is between five and six of them long.
      const coveredMs = windowMs - sliceMs + (now() % sliceMs)
      return (count * 1000) / Math.max(1000, Math.min(now() - startedAt, coveredMs))
    },
  }
}

export type RecentActivity = ReturnType<typeof createRecentActivity>
