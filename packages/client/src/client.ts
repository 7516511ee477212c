import createFetchClient from 'openapi-fetch'
import type { paths } from './api-types.ts'
import { createUpload } from './upload.ts'
import { createWaitUntilFinished } from './wait-until-finished.ts'

export type { components, paths } from './api-types.ts'
export { ApiProblem, SendError } from './millrace-error.ts'
export type { Upload, UploadOptions } from './upload.ts'

/**
 * A client of a Millrace, for Node and for browsers.
 *
 * @param options.origin where it is; in a page of its own, it may be left out
 * @param options.apiKey a bearer key; without one the session's cookie tells who is asking, which browsers
 *   keep by themselves
 * @param options.fetch instead of the global one, to keep cookies in Node for instance
 * @returns `api`: every route, typed by its OpenAPI document; `upload`: sends a file; `waitUntilFinished`:
 *   follows it to its end
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
  return { api, upload: createUpload({ api }), waitUntilFinished: createWaitUntilFinished({ api }) }
}

export type Client = ReturnType<typeof createClient>
