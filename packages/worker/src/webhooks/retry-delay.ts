/** When a failed delivery is tried again. Times in ms. */
export type RetryTimes = {
  /** The first delay, multiplied by `factor` with each further failure, and the longest one. */
  firstMs: number
  factor: number
  longestMs: number
  /** A delivery is given up this long after it was added to the queue. */
  giveUpAfterMs: number
}

export const usualRetryTimes: RetryTimes = {
  firstMs: 5_000,
  factor: 3,
  longestMs: 4 * 60 * 60_000,
  giveUpAfterMs: 24 * 60 * 60_000,
}

/**
 * Returns the delay after a number of failures, in ms: 5 s, 15 s, 45 s, 2 min, 7 min, 20 min, 1 h, 3 h, then every 4 h. It is
 * shortened by up to a quarter, so that deliveries that failed together spread out.
 *
 * @param failures at least 1
 * @param retryAfterMs what the receiver asked for: the least, as long as it is not beyond the longest delay
 */
export function retryDelay(
  { firstMs, factor, longestMs }: RetryTimes,
  failures: number,
  retryAfterMs = 0,
  random: () => number = Math.random,
): number {
  const delay = Math.min(longestMs, firstMs * factor ** Math.min(failures - 1, 20))
  return Math.round(Math.max(delay * (1 - random() / 4), Math.min(retryAfterMs, longestMs)))
}
