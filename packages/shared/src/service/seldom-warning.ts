import type { Logger } from 'pino'

/** How long a kind of warning is not logged again, in ms. */
const defaultIntervalMs = 60_000

/**
 * Creates a function that logs each kind of warning at most once per interval, with the number of warnings that it left
 * out before. For warnings that may come with every message or request.
 *
 * @param deps.intervalMs in ms, a minute by default
 * @param deps.now a monotonic clock, in ms
 */
export function createSeldomWarning(deps: {
  log: Pick<Logger, 'warn'>
  intervalMs?: number
  now?: () => number
}) {
  const { log, intervalMs = defaultIntervalMs, now = () => performance.now() } = deps
  const kinds = new Map<string, { loggedAtMs: number; leftOut: number }>()

  /** @param event the kind, one of few: it is the field `event` of the line */
  return function warnSeldom(event: string, error: unknown, message: string): void {
    const kind = kinds.get(event)
    if (kind && now() - kind.loggedAtMs < intervalMs) {
      kind.leftOut += 1
      return
    }
    log.warn({ err: error, event, leftOut: kind?.leftOut ?? 0 }, message)
    kinds.set(event, { loggedAtMs: now(), leftOut: 0 })
  }
}

export type WarnSeldom = ReturnType<typeof createSeldomWarning>
