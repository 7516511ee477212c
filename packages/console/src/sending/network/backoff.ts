/** Delays after temporary failures, in ms: doubled from the first to the last. */
const firstDelayMs = 1_000
const maxDelayMs = 30_000

/**
 * Waits after temporary failures, longer after each.
 *
 * @param deps.onEnd called when the time is over
 */
export function createBackoff({ onEnd }: { onEnd: () => void }) {
  let failures = 0
  let timer: ReturnType<typeof setTimeout> | undefined

  function end(): void {
    clearTimeout(timer)
    timer = undefined
    onEnd()
  }

  return {
    isWaiting: (): boolean => timer !== undefined,

    /** @param retryAfterMs how long the API asks to wait. A failure while it waits does not make it wait longer */
    wait(retryAfterMs: number): void {
      const delayMs = Math.min(firstDelayMs * 2 ** failures, maxDelayMs)
      failures += 1
      timer ??= setTimeout(end, retryAfterMs + delayMs * (0.5 + Math.random() / 2))
    },

    /** Ends the wait now. */
    end,

    /** Begins with the first delay again, the next time. */
    reset(): void {
      failures = 0
    },
  }
}
