/** A timer of `setInterval` that only the test runs. */
type ManualInterval = { run: () => unknown; everyMs: number; isCleared: boolean; unref(): unknown }

/**
 * Replaces `setInterval` of this process: what is started is kept in a list, and runs when the test calls it.
 *
 * @returns the intervals so far, in the order of their starts; and a function that puts the real ones back
 */
export function withManualIntervals() {
  const { setInterval: realSet, clearInterval: realClear } = globalThis
  const started: ManualInterval[] = []
  Object.assign(globalThis, {
    setInterval(run: () => unknown, everyMs: number) {
      const timer: ManualInterval = { run, everyMs, isCleared: false, unref: () => timer }
      started.push(timer)
      return timer
    },
    clearInterval(timer: ManualInterval | undefined) {
      if (timer) timer.isCleared = true
    },
  })
  return {
    started,
    restore: () => void Object.assign(globalThis, { setInterval: realSet, clearInterval: realClear }),
  }
}
