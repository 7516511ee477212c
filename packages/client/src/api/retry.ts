import { ApiProblem, SendError } from './millrace-error.ts'
import { isOffline, untilOnline } from './network.ts'

/** With these delays, six attempts take about half a minute. */
const defaultAttempts = 6
const firstDelayMs = 500
const maxDelayMs = 10_000
/** Maximum `Retry-After` that is waited for, in ms. A daily quota has a longer one and fails at once. */
const maxRetryAfterMs = 60_000

/**
 * Statuses of temporary errors: timeouts, rate limits, server errors, instances that start or stop. 507 is not among them: a
 * full disk stays full for longer than all attempts take, so the error comes at once and says so.
 */
const retryableStatuses = [408, 429, 500, 502, 503, 504]
/** S3's code with status 400 if a connection stood still before the whole body had come. */
const requestTimeout = 'RequestTimeout'

/** Returns whether the same request can succeed a little later. */
export function isRetryable(error: unknown): boolean {
  if (error instanceof SendError) {
    return error.status === 0 || retryableStatuses.includes(error.status) || error.code === requestTimeout
  }
  if (error instanceof ApiProblem) {
    return retryableStatuses.includes(error.status) || error.code === 'idempotency_key_in_use'
  }
  // fetch throws a TypeError if there is no connection, and for a URL that will never work.
  return error instanceof TypeError && !isInvalidUrl(error)
}

function isInvalidUrl({ cause }: Error): boolean {
  return cause instanceof Error && 'code' in cause && cause.code === 'ERR_INVALID_URL'
}

/** Returns whether there was no response at all. */
function isUnreachable(error: unknown): boolean {
  return error instanceof SendError ? error.status === 0 : error instanceof TypeError
}

/**
 * Runs a function until it succeeds. Waits between attempts with exponential back-off and full jitter
 * (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), plus the API's `Retry-After`.
 * Requests that fail while the browser has no network do not count as attempts: the next one follows when it is online.
 *
 * @param options.isRetryable which errors are followed by another attempt
 * @param options.attempts the maximum number of attempts, 6 by default
 * @throws the last error; the signal's reason if it aborts
 */
export async function retry<Result>(
  work: () => Promise<Result>,
  options: { signal: AbortSignal; isRetryable?: (error: unknown) => boolean; attempts?: number },
): Promise<Result> {
  const { signal, attempts = defaultAttempts } = options
  const canRetry = options.isRetryable ?? isRetryable
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work()
    } catch (error) {
      signal.throwIfAborted()
      if (isUnreachable(error) && isOffline()) {
        await untilOnline(signal)
        attempt = 0
        continue
      }
      if (attempt >= attempts || !canRetry(error)) throw error
      const retryAfterMs = (error instanceof ApiProblem && error.retryAfterMs) || 0
      if (retryAfterMs > maxRetryAfterMs) throw error
      const backOffMs = Math.min(firstDelayMs * 2 ** (attempt - 1), maxDelayMs)
      await delay(retryAfterMs + Math.random() * backOffMs, signal)
    }
  }
}

/** Resolves after `ms`. @throws the signal's reason if it aborts */
export function delay(ms: number, signal: AbortSignal): Promise<void> {
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
