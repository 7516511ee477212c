/** Time over which the rate is averaged, in ms: long enough to be smooth, short enough to follow changes. */
const windowMs = 5_000
/** Minimum time between two changes of the rate, in ms: a rate that changes more often cannot be read. */
const updateMs = 500

/**
 * Measures the rate of a growing byte count over the last few seconds.
 *
 * @param now returns the time in ms
 */
export function createTransferRate(now: () => number = () => performance.now()) {
  let samples: { at: number; bytes: number }[] = []
  let rate: { at: number; bytesPerSecond: number } | undefined

  return {
    /**
     * Adds a sample and returns the current rate.
     *
     * @param bytes the total so far
     * @returns bytes per second, or undefined while there are too few samples
     */
    update(bytes: number): number | undefined {
      const at = now()
      samples = [...samples.filter((sample) => at - sample.at <= windowMs), { at, bytes }]
      const first = samples[0]
      if (rate && at - rate.at < updateMs) return rate.bytesPerSecond
      if (!first || at - first.at < updateMs) return undefined
      rate = { at, bytesPerSecond: ((bytes - first.bytes) * 1000) / (at - first.at) }
      return rate.bytesPerSecond
    },
  }
}

export type TransferRate = ReturnType<typeof createTransferRate>
