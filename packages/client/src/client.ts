import createFetchClient from 'openapi-fetch'
import type { paths } from './api/api-types.ts'
import { createWaitUntilFinished } from './following/wait-until-finished.ts'
import { createSending } from './sending/sending.ts'
import type { UploadStorage } from './sending/upload-storage.ts'

export type { components, paths } from './api/api-types.ts'
export { ApiProblem, dataOf, SendError } from './api/millrace-error.ts'
export { isRetryable } from './api/retry.ts'
export type { UploadProgress } from './following/wait-until-finished.ts'
export type { Upload, UploadOptions, UploadTask } from './sending/upload.ts'
export type { UploadStorage } from './sending/upload-storage.ts'

/**
 * Creates a client of a Millrace API, for Node and for browsers.
 *
 * @param options.origin the API's origin, such as `https://media.example`; optional in its own pages
 * @param options.apiKey an API key, sent as a bearer token. Without it, the session's cookie identifies the
 *   owner; browsers store it automatically
 * @param options.fetch replaces the global `fetch`, for example to store cookies in Node
 * @param options.storage remembers uploads that are being sent, so that they can be resumed: localStorage in browsers, nothing
 *   elsewhere
 * @param options.concurrency how many files are sent at the same time, and how many requests to S3; 6 by default
 * @returns `api`: all routes, typed from the OpenAPI document; `upload`: sends a file; `startUpload`:
 *   the same as a task that can be paused and aborted; `findInterrupted`: finds the upload of a file that was being sent
 *   when the page was closed; `waitUntilFinished`: waits for the outcome of an upload
 */
export function createClient(
  options: {
    origin?: string
    apiKey?: string
    fetch?: (request: Request) => Promise<Response>
    storage?: UploadStorage
    concurrency?: number
  } = {},
) {
  const { origin, apiKey, fetch, storage, concurrency } = options
  const api = createFetchClient<paths>({
    ...(origin !== undefined && { baseUrl: origin }),
    ...(apiKey !== undefined && { headers: { authorization: `Bearer ${apiKey}` } }),
    ...(fetch && { fetch }),
  })
  return {
    api,
    ...createSending({ api, origin, storage, concurrency }),
    waitUntilFinished: createWaitUntilFinished({ api }),
  }
}

export type Client = ReturnType<typeof createClient>
