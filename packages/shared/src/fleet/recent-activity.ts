import { bucketOf, type LatencyHistogram, mergeHistograms } from './latency-histogram.ts'

/** The measured window, in ms. It moves by one slice at a time. */
const windowMs = 60_000
const sliceMs = 10_000

/**
 * Measures what a process does now and did in the last minute: requests of the API, jobs of a worker.
 *
 * @param now a monotonic clock, in ms
 */
export function createRecentActivity(now: () => number = () => performance.now()) {
  const startedAt = now()
  const slices = new Map<number, Map<number, number>>()
  let active = 0

  function currentSlices(): Map<number, number>[] {
    const oldest = Math.floor((now() - windowMs) / sliceMs)
    for (const number of slices.keys()) if (number <= oldest) slices.delete(number)
    return [...slices.values()]
  }

  return {
    /** Counts one activity as active. @returns a function to call once at its end, with whether to measure it */
    begin() {
      const beganAt = now()
      active += 1
      return (measured: 'measured' | 'unmeasured'): number => {
        const ms = now() - beganAt
        active -= 1
        if (measured === 'unmeasured') return ms
        const number = Math.floor(now() / sliceMs)
        const slice = slices.get(number) ?? new Map<number, number>()
        slices.set(number, slice)
        const bucket = bucketOf(ms)
        slice.set(bucket, (slice.get(bucket) ?? 0) + 1)
        return ms
      }
    },
    active: () => active,
    latency: (): LatencyHistogram => mergeHistograms(currentSlices().map((slice) => [...slice])),
    /** Returns the measured activities per second, over the last minute. */
    perSecond(): number {
      const count = currentSlices().reduce(
        (sum, slice) => sum + slice.values().reduce((total, inBucket) => total + inBucket, 0),
        0,
      )
      // The newest slice is incomplete, so the window covers between five and six slices.
      const coveredMs = windowMs - sliceMs + (now() % sliceMs)
      return (count * 1000) / Math.max(1000, Math.min(now() - startedAt, coveredMs))
    },
  }
}

export type RecentActivity = ReturnType<typeof createRecentActivity>
