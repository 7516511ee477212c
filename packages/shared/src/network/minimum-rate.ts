/** What is known of a transfer at one moment. */
export type TransferSample = {
  nowMs: number
  /** Received since the connection was opened. */
  bytes: number
  /** Whether received bytes wait to be read. Then this side is slow, not the sender. */
  isUnread: boolean
}

/**
 * Decides whether a sender is too slow: in each window, fewer bytes came than the rate requires. An average since the
 * start would let a sender that began fast be slow for hours.
 *
 * @param options.minBytesPerSecond 0: no sender is too slow
 * @param options.windowMs length of a window, in ms. Time in which received bytes wait to be read does not count
 * @param options.periodMs the time between two samples, in ms. Of a longer pause two periods count: this process was busy,
 *   and the sender's bytes waited in the kernel
 * @param options.start the sample at the start of the transfer
 */
export function createMinimumRate(options: {
  minBytesPerSecond: number
  windowMs: number
  periodMs: number
  start: TransferSample
}) {
  const { minBytesPerSecond, windowMs, periodMs, start } = options
  let last = start
  let windowBytes = 0
  let elapsedMs = 0

  /**
   * Call it once per period, of which a window has several.
   *
   * @returns `slow` if the window that ends now was too slow, `silent` if it had no byte at all, otherwise `fine`
   */
  return function judge(sample: TransferSample): 'fine' | 'slow' | 'silent' {
    const { nowMs, bytes, isUnread } = sample
    const couldSend = !last.isUnread && !isUnread
    if (couldSend) {
      windowBytes += bytes - last.bytes
      elapsedMs += Math.min(nowMs - last.nowMs, 2 * periodMs)
    }
    last = sample
    if (elapsedMs < windowMs) return 'fine'
    const isSlow = windowBytes < (minBytesPerSecond * elapsedMs) / 1000
    const isSilent = windowBytes === 0
    windowBytes = 0
    elapsedMs = 0
    if (!isSlow) return 'fine'
    return isSilent ? 'silent' : 'slow'
  }
}
