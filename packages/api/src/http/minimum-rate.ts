/** What is known of a transfer at one moment. */
export type TransferSample = {
  nowMs: number
  /** Received since the connection was opened. */
  bytes: number
  /** Whether received bytes wait to be read. Then the server is slow, not the client. */
  isUnread: boolean
}

/**
 * Decides whether a client sends its body too slowly: in each window, fewer bytes came than the rate requires. An average
 * since the start would let a client that began fast be slow for hours.
 *
 * @param options.minBytesPerSecond 0: no client is too slow
 * @param options.windowMs length of a window, in ms. Time in which received bytes wait to be read does not count
 * @param options.start the sample at the start of the transfer
 */
export function createMinimumRate(options: {
  minBytesPerSecond: number
  windowMs: number
  start: TransferSample
}) {
  const { minBytesPerSecond, windowMs, start } = options
  let last = start
  let windowBytes = 0
  let elapsedMs = 0

  /**
   * Call it several times per window.
   *
   * @returns whether the window that ends now was too slow
   */
  return function isTooSlow(sample: TransferSample): boolean {
    const { nowMs, bytes, isUnread } = sample
    const couldSend = !last.isUnread && !isUnread
    if (couldSend) {
      windowBytes += bytes - last.bytes
      elapsedMs += nowMs - last.nowMs
    }
    last = sample
    if (elapsedMs < windowMs) return false
    const isSlow = windowBytes < (minBytesPerSecond * elapsedMs) / 1000
    windowBytes = 0
    elapsedMs = 0
    return isSlow
  }
}
