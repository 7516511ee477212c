import { setTimeout as delay } from 'node:timers/promises'
import type { Random } from './random.ts'

/** One attempt waits this long for its response, in ms. A stopped instance accepts connections and never responds. */
const attemptTimeoutMs = 10_000
/** Pauses between attempts in ms, unless the response has `Retry-After`: doubled, and shortened by up to half. */
const pauses = { first: 200, longest: 3_000 }

/** Statuses after which the same request may succeed later. 409 and 423 with `Retry-After`, or as the code says. */
const retryStatuses: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504, 507])
const retryCodes: ReadonlySet<unknown> = new Set([
  ...['idempotency_key_in_use', 'conflict', 'upload_locked'],
  // S3: the body did not arrive in time.
  'RequestTimeout',
])

export type ClientResponse = { status: number; headers: Headers; body: Record<string, unknown> }

export type ClientRequest = {
  method: string
  /** Path on the API, sent to the next instance at each attempt; or a whole URL. */
  url: string
  headers?: Record<string, string>
  /** JSON */
  json?: unknown
  /** Called for each attempt, because a form's body can be sent only once. */
  body?: () => Buffer<ArrayBuffer> | FormData
}

export type DecentClient = ReturnType<typeof createDecentClient>

/**
 * Creates a client that retries as the documentation of an API asks: after network errors, timeouts and 5xx, with pauses,
 * and after `Retry-After`.
 *
 * @param deps.nextApi returns the URL of an API instance that runs
 * @param deps.deadline no attempt begins after it
 */
export function createDecentClient(deps: {
  nextApi: () => Promise<string>
  random: Random
  deadline: AbortSignal
}) {
  const { nextApi, random, deadline } = deps
  /** Counts attempts that were repeated, by `{method} {route} {status and code}`. */
  const retried = new Map<string, number>()

  async function attempt({ method, url, headers, json, body }: ClientRequest): Promise<ClientResponse> {
    const response = await fetch(new URL(url, url.startsWith('/') ? await nextApi() : undefined), {
      method,
      redirect: 'manual',
      headers: { ...(json !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(json !== undefined && { body: JSON.stringify(json) }),
      ...(body && { body: body() }),
      signal: AbortSignal.any([AbortSignal.timeout(attemptTimeoutMs), deadline]),
    })
    const text = await response.text()
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '')
    return {
      status: response.status,
      headers: response.headers,
      body: isJson ? readObject(text) : { code: codeOfXml(text) },
    }
  }

  function count(request: ClientRequest, outcome: string): void {
    const route = request.url.startsWith('/')
      ? request.url.replace(/\?.*/, '').replace(/[0-9a-f]{8}-[0-9a-f-]{27}/, '{id}')
      : 'S3'
    const name = `${request.method} ${route} ${outcome}`
    retried.set(name, (retried.get(name) ?? 0) + 1)
  }

  return {
    retried,
    /** @returns the response that is final, or undefined if there was none before the deadline */
    async send(
      request: ClientRequest,
      options: { retries?: boolean } = {},
    ): Promise<ClientResponse | undefined> {
      const { retries = true } = options
      for (let attempts = 0; !deadline.aborted; attempts++) {
        let pauseMs = Math.min(pauses.longest, pauses.first * 2 ** attempts) * (1 - random.next() / 2)
        try {
          const response = await attempt(request)
          const canRetry = retryStatuses.has(response.status) || retryCodes.has(response.body['code'])
          if (!canRetry) return response
          count(request, [response.status, response.body['code']].join(' ').trim())
          const seconds = Number(response.headers.get('retry-after'))
          if (seconds > 0) pauseMs = seconds * 1000
        } catch {
          // The connection was closed, or nobody responded in time.
          count(request, 'no response')
        }
        if (!retries) return undefined
        await delay(pauseMs, undefined, { signal: deadline }).catch(() => undefined)
      }
      return undefined
    },
  }
}

/** Returns the code of an error of S3. */
function codeOfXml(text: string): string | undefined {
  return /<Code>(\w+)<\/Code>/.exec(text)?.[1]
}

function readObject(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : {}
  } catch {
    // A response that was cut off.
    return {}
  }
}

/** Whether a JSON value is an object. */
export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
