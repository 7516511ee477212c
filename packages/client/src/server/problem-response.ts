import type { RouteProblem } from '../routes/route-error.ts'

/** Returns a JSON response that no cache keeps. */
export function jsonResponse(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  const type = status < 400 ? 'application/json' : 'application/problem+json'
  return new Response(JSON.stringify(body), {
    status,
    headers: { ...headers, 'content-type': type, 'cache-control': 'no-store' },
  })
}

/** Returns an error response (RFC 9457). */
export function problemResponse(
  { status, code, detail }: RouteProblem,
  headers?: Record<string, string>,
): Response {
  return jsonResponse({ status, code, detail }, status, headers)
}
