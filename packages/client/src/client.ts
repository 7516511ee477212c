import createFetchClient from 'openapi-fetch'
import type { paths } from './api/api-types.ts'
import { createAuthorizedFetch, type Fetch } from './api/authorized-fetch.ts'
import { createWaitUntilFinished } from './following/wait-until-finished.ts'
import { createWatch } from './following/watch.ts'
import { createUploadManagement } from './managing/manage-uploads.ts'
import { createSending } from './sending/sending.ts'
import type { UploadStorage } from './sending/upload-storage.ts'

export type { components, paths } from './api/api-types.ts'
export type { Fetch } from './api/authorized-fetch.ts'
export { ApiProblem, dataOf, SendError } from './api/millrace-error.ts'
export { isRetryable } from './api/retry.ts'
export { isFinished, type Upload } from './api/upload.ts'
export type { UploadProgress } from './following/wait-until-finished.ts'
export type { WatchOptions } from './following/watch.ts'
export type {
  ListFilter,
  PageOptions,
  Receipt,
  SignedDownload,
  UploadEdit,
  UploadPage,
} from './managing/manage-uploads.ts'
export type {
  RouteClient,
  RouteUploadOptions,
  RouteUploadsOptions,
  RouteWaitOptions,
} from './routes/route-client.ts'
export { createRouteClient } from './routes/route-client.ts'
export type { RouteErrorCode } from './routes/route-error.ts'
export { RouteError } from './routes/route-error.ts'
export type { RouteInput, RouteName, UploadsType } from './routes/uploads-type.ts'
export type { UploadOptions, UploadTask } from './sending/upload.ts'
export type { UploadStorage } from './sending/upload-storage.ts'
export {
  verifyWebhook,
  WebhookError,
  type WebhookErrorCode,
  type WebhookHeaders,
} from './webhooks/verify-webhook.ts'
export type { WebhookEvent } from './webhooks/webhook-event.ts'

export type ClientOptions = {
  /** Where the API is, such as `https://media.example`, with its path if it has one. Optional in the API's own pages. */
  origin?: string
  /** An API key. Only for backends: never give it to a browser. */
  apiKey?: string
  /** With an API key of scope `act-as`: the user of yours that requests act for, by your own id. */
  user?: string
  /**
   * Returns a token of the user: an upload token that your backend requested, or the JWT of your identity provider. Called
   * when a request needs it; the result is kept until shortly before it expires. Called once more if the API refuses it.
   */
  getToken?: () => string | Promise<string>
  /** Replaces the global `fetch` for requests to the API, for example to send cookies or to store them in Node. */
  fetch?: Fetch
  /** Remembers uploads that are being sent, so that they can be resumed: localStorage in pages, nothing elsewhere. */
  storage?: UploadStorage
  /** How many files are sent at the same time, and how many requests to S3; 6 by default. */
  concurrency?: number
}

/**
 * Creates a client of a Millrace API, for Node and for browsers.
 *
 * Without `apiKey` and `getToken`, the session's cookie identifies the owner; browsers store it automatically.
 *
 * @returns `api`: all routes, typed from the OpenAPI document; `upload`: sends a file; `startUpload`: the same as a task that
 *   can be paused and aborted; `findInterrupted`: finds the upload of a file that was being sent when the page was closed;
 *   `waitUntilFinished`: waits for the outcome of an upload; `watch`: follows all uploads; `list`, `listPage`, `get`,
 *   `downloadUrl`, `edit`, `reprocess`, `erase`
 * @throws Error if there are both an API key and `getToken`
 */
export function createClient(options: ClientOptions = {}) {
  const { origin, apiKey, user, getToken, storage, concurrency } = options
  if (apiKey !== undefined && getToken) throw new Error('createClient takes apiKey or getToken, not both.')
  const fetch = options.fetch ?? ((request) => globalThis.fetch(request))
  const api = createFetchClient<paths>({
    ...(origin !== undefined && { baseUrl: origin }),
    headers: {
      ...(apiKey !== undefined && { authorization: `Bearer ${apiKey}` }),
      ...(user !== undefined && { 'millrace-user': encodeURIComponent(user) }),
    },
    fetch: getToken ? createAuthorizedFetch({ fetch, getToken }) : fetch,
  })
  return {
    api,
    ...createSending({ api, origin, storage, concurrency }),
    waitUntilFinished: createWaitUntilFinished({ api }),
    watch: createWatch({ api }),
    ...createUploadManagement({ api }),
  }
}

export type Client = ReturnType<typeof createClient>
