import { setTimeout as delay } from 'node:timers/promises'

/**
 * Limits the rate of something. Each turn has a time of its own, so a timer that fires late delays no later turn, and
 * after a pause no turns are made up for.
 *
 * @param options.perSecond turns per second
 * @param options.signal ends the waiting
 * @param options.clock replaces the process's clock; in ms
 * @returns a function that resolves when it is the caller's turn, and rejects when the signal aborts
 */
export function createPace(options: {
  perSecond: number
  signal: AbortSignal
  clock?: { now(): number; wait(ms: number): Promise<unknown> }
}) {
  const { perSecond, signal } = options
  const { now, wait } = options.clock ?? {
    now: () => performance.now(),
    wait: (ms: number) => delay(ms, undefined, { signal }),
  }
  const intervalMs = 1000 / perSecond
  let nextAtMs = Number.NEGATIVE_INFINITY
  return async function nextTurn(): Promise<void> {
    signal.throwIfAborted()
    const nowMs = now()
    const atMs = Math.max(nowMs, nextAtMs)
    nextAtMs = atMs + intervalMs
    if (atMs > nowMs) await wait(atMs - nowMs)
  }
}
