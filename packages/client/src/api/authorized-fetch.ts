import { createTokenSource } from './token-source.ts'

export type Fetch = (request: Request) => Promise<Response>

const unauthorizedStatus = 401

/**
 * Returns a fetch that sends a token with each request. If the API answers 401, for example because the token was revoked,
 * it asks for another token and sends the request once more.
 *
 * @param options.fetch sends a request
 * @param options.getToken see `createTokenSource`
 * @throws what `getToken` and `fetch` throw; the reason of the request's signal, also while `getToken` is waited for
 */
export function createAuthorizedFetch(options: {
  fetch: Fetch
  getToken: () => string | Promise<string>
}): Fetch {
  const tokens = createTokenSource(options.getToken)
  return async (request) => {
    const token = await untilAborted(tokens.get(), request.signal)
    const again = canRepeat(request) ? request.clone() : undefined
    request.headers.set('authorization', `Bearer ${token}`)
    const response = await options.fetch(request)
    if (response.status !== unauthorizedStatus || !again) return response
    const next = await untilAborted(tokens.replace(token), request.signal)
    if (next === token) return response
    // The response is not needed any more: its connection is free for the next request.
    await response.body?.cancel()
    again.headers.set('authorization', `Bearer ${next}`)
    return options.fetch(again)
  }
}

/** Returns whether a copy of the body costs little. The copy of a file would stay in memory until the response. */
function canRepeat({ body, headers }: Request): boolean {
  return !body || headers.get('content-type')?.startsWith('application/json') === true
}

/** Waits for a promise. @throws the signal's reason if it aborts before */
function untilAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason)
    if (signal.aborted) onAbort()
    signal.addEventListener('abort', onAbort, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
