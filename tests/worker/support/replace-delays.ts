import { syncBuiltinESMExports } from 'node:module'
import timers from 'node:timers/promises'

/**
 * Replaces the waits of `setTimeout` of node:timers/promises in this process, also for modules that import it by name.
 *
 * @param replace returns how long to wait instead of `ms`, in ms
 * @returns what was asked for, in ms, in its order; and how to end it
 */
export function replaceDelays(replace: (ms: number) => number) {
  const original = timers.setTimeout
  const waits: number[] = []
  const install = (delay: unknown) => {
    Reflect.set(timers, 'setTimeout', delay)
    syncBuiltinESMExports()
  }
  install((ms = 1, ...rest: [value?: unknown, options?: { signal?: AbortSignal }]) => {
    waits.push(ms)
    return original(replace(ms), ...rest)
  })
  return { waits, restore: () => install(original) }
}
