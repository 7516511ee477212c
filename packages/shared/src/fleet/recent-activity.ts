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
  const errors = new Map<number, number>()
  let active = 0

  function currentSlices(): Map<number, number>[] {
    const oldest = Math.floor((now() - windowMs) / sliceMs)
    for (const number of slices.keys()) if (number <= oldest) slices.delete(number)
    return [...slices.values()]
  }

  /** Returns the measured time of the window, in ms. The newest slice is incomplete: the window covers five to six slices. */
  function coveredMs(): number {
    return Math.max(1000, Math.min(now() - startedAt, windowMs - sliceMs + (now() % sliceMs)))
  }

  return {
    /**
     * Counts one activity as active.
     * @returns a function to call once at its end, with whether to measure its duration, and whether it failed
     */
    begin() {
      const beganAt = now()
      active += 1
      return (measured: 'measured' | 'unmeasured', outcome: 'ok' | 'error' = 'ok'): number => {
        const ms = now() - beganAt
        active -= 1
        const number = Math.floor(now() / sliceMs)
        if (outcome === 'error') errors.set(number, (errors.get(number) ?? 0) + 1)
        if (measured === 'unmeasured') return ms
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
      return (count * 1000) / coveredMs()
    },
    /** Returns the failed activities per minute, over the last minute. */
    errorsPerMinute(): number {
      const oldest = Math.floor((now() - windowMs) / sliceMs)
      for (const number of errors.keys()) if (number <= oldest) errors.delete(number)
      const count = errors.values().reduce((sum, inSlice) => sum + inSlice, 0)
      return (count * 60_000) / coveredMs()
    },
  }
}

export type RecentActivity = ReturnType<typeof createRecentActivity>
