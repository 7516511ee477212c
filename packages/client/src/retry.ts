import { ApiProblem, SendError } from './millrace-error.ts'

/** Six tries spread over about half a minute. */
const tries = 6
const firstDelayMs = 500
const longestDelayMs = 10_000
/** The API may ask for more patience than that, up to this: a quota of the day is not waited for. */
const longestAskedMs = 60_000

/** Statuses that may go away by themselves: a request that took too long, too many of them, a tier changing. */
const passingStatuses = [408, 429, 500, 502, 503, 504]

/** Whether the same request may well succeed a little later. */
export function isRetryable(error: unknown): boolean {
  if (error instanceof SendError) return error.status === 0 || passingStatuses.includes(error.status)
  if (error instanceof ApiProblem) {
    return passingStatuses.includes(error.status) || error.code === 'idempotency_key_in_use'
  }
  // What fetch throws when there is no connection.
  return error instanceof TypeError
}

/**
 * Does something until it succeeds, with exponential back-off and full jitter
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), or when the API asks to.
 *
 * @param options.passes which failures are worth another try
 * @param options.tries how often, unless it is six times
 * @throws the last failure; the signal's reason where it aborts
 */
export async function retry<Result>(
  work: () => Promise<Result>,
  options: { signal: AbortSignal; passes?: (error: unknown) => boolean; tries?: number },
): Promise<Result> {
  const { signal, passes = isRetryable } = options
  for (let tried = 1; ; tried += 1) {
    try {
      return await work()
    } catch (error) {
      signal.throwIfAborted()
      if (tried >= (options.tries ?? tries) || !passes(error)) throw error
      const askedMs = (error instanceof ApiProblem && error.retryAfterMs) || 0
      if (askedMs > longestAskedMs) throw error
      const longestMs = Math.min(firstDelayMs * 2 ** (tried - 1), longestDelayMs)
      await pause(askedMs + Math.random() * longestMs, signal)
    }
  }
}

/** @throws the signal's reason where it aborts */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      clearTimeout(timer)
      reject(signal.reason)
    }
    const timer = setTimeout(() => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    }, ms)
    signal.addEventListener('abort', onAbort, { once: true })
  })
}
