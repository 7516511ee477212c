/** Long enough to be calm, short enough to follow a connection that changes, in milliseconds. */
const windowMs = 5_000
/** A reading that changes more often cannot be read, in milliseconds. */
const readingMs = 500

/**
 * Measures how fast a growing count grows, over the last few seconds.
 *
 * @param now the time in milliseconds
 */
export function createSpeedometer(now: () => number = () => performance.now()) {
  let samples: { at: number; bytes: number }[] = []
  let reading: { at: number; bytesPerSecond: number } | undefined

  return {
    /**
     * @param bytes the count as it stands
     * @returns bytes per second, or undefined while there is too little to tell
     */
    read(bytes: number): number | undefined {
      const at = now()
      samples = [...samples.filter((sample) => at - sample.at <= windowMs), { at, bytes }]
      const first = samples[0]
      if (reading && at - reading.at < readingMs) return reading.bytesPerSecond
      if (!first || at - first.at < readingMs) return undefined
      reading = { at, bytesPerSecond: ((bytes - first.bytes) * 1000) / (at - first.at) }
      return reading.bytesPerSecond
    },
  }
}
