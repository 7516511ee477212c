import type { Static, TSchema } from 'typebox'
import { checkDocumentedResponse } from './documented-responses.ts'
import { matchesSchema } from './matches-schema.ts'

/** A client that stores its cookie, as a browser does. */
export type HttpClient = ReturnType<typeof createHttpClient>

/** A response. `body` is parsed if it is JSON, otherwise it is text. */
export type HttpResponse = {
  status: number
  headers: Headers
  body: unknown
}

/**
 * Returns a response's body.
 * @throws Error with status and body if the body does not match the schema
 */
export function bodyOf<Schema extends TSchema>(response: HttpResponse, schema: Schema): Static<Schema> {
  const { body } = response
  if (matchesSchema(schema, body)) return body
  throw new Error(`Unexpected response: ${response.status} ${JSON.stringify(response.body)}`)
}

/**
 * Creates a client with its own cookie. It checks each response against the OpenAPI document.
 *
 * @param base the origin of all requests; a request may use another
 * @param cookie the initial cookie, `name=value`
 */
export function createHttpClient(base: string, cookie?: string) {
  let currentCookie = cookie

  async function request(
    method: string,
    path: string,
    options: {
      json?: unknown
      body?: string | Uint8Array<ArrayBuffer>
      headers?: Record<string, string>
      base?: string
    } = {},
  ): Promise<HttpResponse> {
    const url = new URL(path, options.base ?? base)
    const response = await fetch(url, {
      method,
      redirect: 'manual',
      headers: {
        ...(currentCookie && { cookie: currentCookie }),
        ...(options.json !== undefined && { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.json !== undefined && { body: JSON.stringify(options.json) }),
      ...(options.body !== undefined && { body: options.body }),
    })
    for (const setCookie of response.headers.getSetCookie()) {
      const value = setCookie.split(';')[0]
      currentCookie = value?.endsWith('=') ? undefined : value
    }
    const text = await response.text()
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '')
    const body: unknown = isJson && text ? JSON.parse(text) : text
    checkDocumentedResponse(url, method, { status: response.status, headers: response.headers, body })
    return { status: response.status, headers: response.headers, body }
  }

  return {
    request,
    get: (path: string, options?: Parameters<typeof request>[2]) => request('GET', path, options),
    post: (path: string, json: unknown, options?: Parameters<typeof request>[2]) =>
      request('POST', path, { json, ...options }),
    put: (path: string, json: unknown) => request('PUT', path, { json }),
    delete: (path: string) => request('DELETE', path),
    get cookie() {
      return currentCookie
    },
  }
}
