/** A webhook whose requests take longer than this counts as slow, in ms. */
const slowMs = 2_000

/**
 * Keeps slots of a worker free for receivers that respond promptly: slow ones together use at most half of them.
 *
 * @param slots webhook slots of this worker
 */
export function createSlowWebhooks(slots: number) {
  const limit = Math.max(1, Math.floor(slots / 2))
  let used = 0
  return {
    /**
     * @param meanMs mean duration of the webhook's requests
     * @returns a function to call once, when the request ends; undefined if slow webhooks use their share
     */
    take(meanMs: number): (() => void) | undefined {
      if (meanMs < slowMs) return () => undefined
      if (used >= limit) return undefined
      used += 1
      return () => {
        used -= 1
      }
    },
  }
}

export type SlowWebhooks = ReturnType<typeof createSlowWebhooks>
