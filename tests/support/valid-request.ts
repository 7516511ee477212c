import type { Route } from './app-routes.ts'

/** A request without credentials. */
type ValidRequest = {
  method: string
  path: string
  headers: Record<string, string>
  body?: string
}

/** Routes of pages and probes, which know no owner and need no scope. */
const publicRoute = /^\/(?:openapi\.json|docs\b|health$|ready$)/

/** Routes that are authorized. */
export function authorizedRoutes(routes: readonly Route[]): Route[] {
  return routes.filter(({ url, method }) => !publicRoute.test(url) && method !== 'OPTIONS')
}

/** JSON bodies by route: those without a field that must name something that exists. */
const bodies: Record<string, (id: string) => object> = {
  'PUT /session': () => ({ user: 'Ada' }),
  'POST /uploads': () => ({ filename: 'a.txt', contentType: 'text/plain', size: 7 }),
  'POST /uploads/:id/parts': () => ({ partNumbers: [1] }),
  'POST /uploads/:id/complete': () => ({ parts: [{ partNumber: 1, etag: 'x' }] }),
  'PATCH /uploads/:id': () => ({ filename: 'changed.txt' }),
  'POST /uploads/reprocess': (id) => ({ ids: [id] }),
  'POST /uploads/delete': (id) => ({ ids: [id] }),
  'POST /uppy/s3/multipart': () => ({
    filename: 'a.txt',
    type: 'text/plain',
    metadata: { size: 20_000_000 },
  }),
  'POST /uppy/s3/multipart/:id/complete': () => ({ parts: [{ PartNumber: 1, ETag: 'x' }] }),
}
const queries: Record<string, string> = {
  'POST /upload': '?filename=a.txt',
  'PUT /upload': '?filename=a.txt',
  'GET /uppy/s3/params': '?filename=a.txt&type=text/plain&metadata[size]=7',
}

/**
 * Returns a request that is valid for a route of uploads, so that it can only be refused because of who sends it. For other
 * routes it may lack what the route needs, which is found after the authorization.
 *
 * @param id of an upload
 */
function validRequest({ method, url }: Pick<Route, 'method' | 'url'>, id: string): ValidRequest {
  const name = `${method} ${url}`
  const path = url
    .replace(':id', id)
    .replace(':deliveryId', `dlv_${'0'.repeat(32)}`)
    .replace(':name', 'w320')
    .replace(':partNumber', '1')
    .replace(':ms', '1')
    .replace('/*', '/a.txt')
  const request = { method, path: `${path}${queries[name] ?? ''}`, headers: {} }
  if (url.startsWith('/tus')) {
    const type = { 'content-type': 'application/offset+octet-stream' }
    return {
      ...request,
      headers: {
        ...{ 'tus-resumable': '1.0.0', 'upload-length': '7', 'upload-offset': '0' },
        ...(url === '/tus/:id' && method === 'POST' && { 'x-http-method-override': 'DELETE' }),
        ...(method === 'PATCH' && type),
      },
      ...(method === 'PATCH' && { body: 'x' }),
    }
  }
  if (url.startsWith('/upload') && !url.startsWith('/uploads')) {
    return {
      ...request,
      headers: { 'content-type': 'text/plain' },
      body: method === 'DELETE' ? id : 'content',
    }
  }
  const json = bodies[name]?.(id) ?? (['POST', 'PUT', 'PATCH'].includes(method) ? {} : undefined)
  if (!json) return request
  return { ...request, headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) }
}

/** A response. The body of a stream is not read. */
type RouteResponse = { status: number; headers: Headers; body: string }

/**
 * Sends a request that is valid for a route.
 *
 * @param base the origin of the API
 * @param headers those of the credentials
 */
export async function sendToRoute(
  base: string,
  route: Pick<Route, 'method' | 'url'>,
  id: string,
  headers: Record<string, string> = {},
): Promise<RouteResponse> {
  const { method, path, headers: own, body } = validRequest(route, id)
  const response = await fetch(new URL(path, base), {
    method,
    redirect: 'manual',
    headers: { ...own, ...headers },
    ...(body !== undefined && { body }),
  })
  const { status } = response
  if (!/^text\/event-stream/.test(response.headers.get('content-type') ?? '')) {
    return { status, headers: response.headers, body: await response.text() }
  }
  await response.body?.cancel()
  return { status, headers: response.headers, body: '' }
}
