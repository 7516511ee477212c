import { setTimeout as delay } from 'node:timers/promises'

/**
 * Limits the rate of something. Each turn has a time of its own, so a timer that fires late delays no later turn, and
 * after a pause no turns are made up for.
 *
 * @param options.perSecond turns per second
 * @param options.signal ends the waiting
 * @returns a function that resolves when it is the caller's turn, and rejects when the signal aborts
 */
export function createPace({ perSecond, signal }: { perSecond: number; signal: AbortSignal }) {
  const intervalMs = 1000 / perSecond
  let nextAtMs = 0
  return async function nextTurn(): Promise<void> {
    signal.throwIfAborted()
    const nowMs = performance.now()
    const atMs = Math.max(nowMs, nextAtMs)
    nextAtMs = atMs + intervalMs
    if (atMs > nowMs) await delay(atMs - nowMs, undefined, { signal })
  }
}
