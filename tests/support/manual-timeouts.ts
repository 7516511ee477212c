/** A timer of `setTimeout` that only the test runs. */
type ManualTimeout = { run: () => void; unref(): ManualTimeout }

/**
 * Replaces `setTimeout` of this process for one delay: such timers are kept in a list, and end when the test says so.
 *
 * @param delayMs the delay of the timers
 * @returns how many wait; a function that lets all of them end; and one that puts the real `setTimeout` back
 */
export function withManualTimeouts(delayMs: number) {
  const { setTimeout: realSet, clearTimeout: realClear } = globalThis
  const waiting = new Set<ManualTimeout>()
  Object.assign(globalThis, {
    setTimeout(run: () => void, ...rest: [ms?: number, ...values: []]) {
      if (rest[0] !== delayMs) return realSet(run, ...rest)
      const timer: ManualTimeout = { run, unref: () => timer }
      waiting.add(timer)
      return timer
    },
    clearTimeout(timer: NodeJS.Timeout | ManualTimeout | undefined) {
      if (timer && 'run' in timer) waiting.delete(timer)
      else realClear(timer)
    },
  })
  return {
    waiting: () => waiting.size,
    end(): void {
      for (const timer of waiting) {
        waiting.delete(timer)
        timer.run()
      }
    },
    restore: () => void Object.assign(globalThis, { setTimeout: realSet, clearTimeout: realClear }),
  }
}
