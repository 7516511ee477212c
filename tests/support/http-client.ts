import type { Static, TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { checkDocumented } from './documented-answers.ts'

/** A client that keeps its cookie, as a browser does. */
export type HttpClient = ReturnType<typeof createHttpClient>

/** What came back. `body` is parsed where it is JSON, a text otherwise. */
export type HttpAnswer = {
  status: number
  headers: Headers
  body: unknown
}

/** The body of an answer, which must be of this schema; throws with status and body where it is not. */
export function bodyOf<Schema extends TSchema>(answer: HttpAnswer, schema: Schema): Static<Schema> {
  const validator = Compile(schema)
  if (validator.Check(answer.body)) return answer.body
  throw new Error(`Unexpected answer: ${answer.status} ${JSON.stringify(answer.body)}`)
}

/**
 * @param base the origin of all requests; another may be given with each
 * @param cookie what it starts with, `name=value`
 */
export function createHttpClient(base: string, cookie?: string) {
  let kept = cookie

  async function request(
    method: string,
    path: string,
    options: { json?: unknown; body?: string; headers?: Record<string, string>; base?: string } = {},
  ): Promise<HttpAnswer> {
    const url = new URL(path, options.base ?? base)
    const response = await fetch(url, {
      method,
      redirect: 'manual',
      headers: {
        ...(kept && { cookie: kept }),
        ...(options.json !== undefined && { 'content-type': 'application/json' }),
        ...options.headers,
      },
      ...(options.json !== undefined && { body: JSON.stringify(options.json) }),
      ...(options.body !== undefined && { body: options.body }),
    })
    for (const set of response.headers.getSetCookie()) {
      const value = set.split(';')[0]
      kept = value?.endsWith('=') ? undefined : value
    }
    const text = await response.text()
    const isJson = /\bjson\b/.test(response.headers.get('content-type') ?? '')
    const body: unknown = isJson && text ? JSON.parse(text) : text
    checkDocumented(url, method, { status: response.status, headers: response.headers, body })
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
      return kept
    },
  }
}
