import { isOutage } from '../connections/outage.ts'
import type { CallOutcome } from './metrics.ts'

/**
 * Returns how a call that was rejected ended.
 *
 * @returns `aborted` if our own signal ended it. `refused` if the service works and said no: there is no such object, a
 *   condition does not hold, a script is not loaded. Much of that is part of the usual way of an upload. `failed` otherwise:
 *   no connection, a timeout, throttled, not permitted, full
 */
export function outcomeOf(error: unknown): Exclude<CallOutcome, 'ok'> {
  if (!(error instanceof Error)) return 'failed'
  if (error.name === 'AbortError') return 'aborted'
  if (isOutage(error)) return 'failed'
  return error.name === 'ReplyError' || '$metadata' in error ? 'refused' : 'failed'
}
