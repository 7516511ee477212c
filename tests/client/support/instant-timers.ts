/**
 * Makes the delays of this process end at once, and records them. `Math.random` returns a number of the test's choice, which
 * decides the jitter.
 *
 * @param longestMs a longer one never ends, such as a timeout of something that is instant here as well
 * @returns the delays so far, in ms
 */
export function withInstantTimers(jitter: number, longestMs = Number.POSITIVE_INFINITY) {
  const delays: number[] = []
  const { setTimeout: realSetTimeout, clearTimeout: realClearTimeout } = globalThis
  const { random } = Math
  const cleared = new Set<object>()
  const setInstant = (run: () => void, ms: number) => {
    delays.push(ms)
    const timer = {}
    if (ms <= longestMs) queueMicrotask(() => cleared.has(timer) || run())
    return timer
  }
  Object.assign(globalThis, { setTimeout: setInstant, clearTimeout: (timer: object) => cleared.add(timer) })
  Math.random = () => jitter
  return {
    delays,
    restore(): void {
      Object.assign(globalThis, { setTimeout: realSetTimeout, clearTimeout: realClearTimeout })
      Math.random = random
    },
  }
}
