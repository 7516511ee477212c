import type { Fetch } from '../api/authorized-fetch.ts'
import { retry } from '../api/retry.ts'
import { RouteError, type RouteErrorCode, type RouteProblem } from './route-error.ts'
import type { GrantRequest, UploadGrant } from './upload-grant.ts'

/** A backend that is busy or restarts is asked again soon. A person waits for the answer. */
const attempts = 3
const retryableStatuses = [502, 503, 504]

/**
 * Asks the app's backend for a token.
 *
 * @param options.endpoint where the handler is mounted, such as `/api/uploads`
 * @param options.fetch sends the request
 * @throws RouteError; a TypeError if there is no connection; the signal's reason if it aborts
 */
export function requestGrant(
  options: { endpoint: string; fetch: Fetch },
  route: string,
  body: GrantRequest,
  signal: AbortSignal,
): Promise<UploadGrant> {
  const { endpoint, fetch } = options
  const url = `${endpoint}${endpoint.includes('?') ? '&' : '?'}route=${encodeURIComponent(route)}`
  const init = {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json' },
    body: JSON.stringify(body),
    signal,
  }
  // A URL that is none throws the same error as a missing connection, but must not be tried again.
  const request = new Request(url, init)
  return retry(async () => read(await fetch(request.clone()), endpoint), {
    ...{ signal, attempts },
    isRetryable: isTemporary,
  })
}

function isTemporary(error: unknown): boolean {
  return error instanceof RouteError ? retryableStatuses.includes(error.status) : error instanceof TypeError
}

/** @throws RouteError */
async function read(response: Response, endpoint: string): Promise<UploadGrant> {
  const body: unknown = await response.json().catch(() => undefined)
  if (response.ok && isGrant(body)) return body
  const { status } = response
  if (!response.ok && isProblem(body)) throw new RouteError({ ...body, status })
  const detail = `${endpoint} returned status ${status} and no JSON of an upload handler. Is the handler mounted there?`
  throw new RouteError({ status, code: 'unknown', detail })
}

function isGrant(body: unknown): body is UploadGrant {
  return (
    typeof body === 'object' &&
    body !== null &&
    'token' in body &&
    typeof body.token === 'string' &&
    'origin' in body &&
    typeof body.origin === 'string'
  )
}

function isProblem(body: unknown): body is { code: RouteErrorCode; detail: string } & Partial<RouteProblem> {
  return (
    typeof body === 'object' &&
    body !== null &&
    'code' in body &&
    typeof body.code === 'string' &&
    'detail' in body &&
    typeof body.detail === 'string'
  )
}
