import { createHttpClient, type HttpClient } from './http-client.ts'

/** Creates a client that sends a bearer token with each request, and no cookie. @param base the origin of all requests */
export function createBearerClient(base: string, token: string): HttpClient {
  const client = createHttpClient(base)
  const request: HttpClient['request'] = (method, path, options = {}) =>
    client.request(method, path, {
      ...options,
      headers: { authorization: `Bearer ${token}`, ...options.headers },
    })
  return {
    ...client,
    request,
    get: (path, options) => request('GET', path, options),
    post: (path, json, options) => request('POST', path, { json, ...options }),
    put: (path, json) => request('PUT', path, { json }),
    delete: (path) => request('DELETE', path),
  }
}
