import createFetchClient from 'openapi-fetch'
import type { paths } from './api/api-types.ts'
import { createWaitUntilFinished } from './following/wait-until-finished.ts'
import { createSending } from './sending/sending.ts'

export type { components, paths } from './api/api-types.ts'
export { ApiProblem, dataOf, SendError } from './api/millrace-error.ts'
export { isRetryable } from './api/retry.ts'
export type { UploadProgress } from './following/wait-until-finished.ts'
export type { Upload, UploadOptions, UploadTask } from './sending/upload.ts'

/**
 * Creates a client of a Millrace API, for Node and for browsers.
 *
 * @param options.origin the API's origin, such as `https://media.example`; optional in its own pages
 * @param options.apiKey an API key, sent as a bearer token. Without it, the session's cookie identifies the
 *   owner; browsers store it automatically
 * @param options.fetch replaces the global `fetch`, for example to store cookies in Node
 * @returns `api`: all routes, typed from the OpenAPI document; `upload`: sends a file; `startUpload`:
 *   the same as a task that can be paused and aborted; `waitUntilFinished`: waits for the outcome of an upload
 */
export function createClient(
  options: { origin?: string; apiKey?: string; fetch?: (request: Request) => Promise<Response> } = {},
) {
  const { origin, apiKey, fetch } = options
  const api = createFetchClient<paths>({
    ...(origin !== undefined && { baseUrl: origin }),
    ...(apiKey !== undefined && { headers: { authorization: `Bearer ${apiKey}` } }),
    ...(fetch && { fetch }),
  })
  return { api, ...createSending({ api }), waitUntilFinished: createWaitUntilFinished({ api }) }
}

export type Client = ReturnType<typeof createClient>
