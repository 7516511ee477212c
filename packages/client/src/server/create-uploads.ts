import createFetchClient from 'openapi-fetch'
import type { paths } from '../api/api-types.ts'
import type { Fetch } from '../api/authorized-fetch.ts'
import { RouteError } from '../routes/route-error.ts'
import { createGrantUpload } from './grant-upload.ts'
import { createPageOrigins } from './page-origin.ts'
import { jsonResponse, problemResponse } from './problem-response.ts'
import { createReceiveEvent, type Deletion } from './receive-event.ts'
import { UploadRefused } from './upload-refused.ts'
import type { UploadRoute } from './upload-route.ts'

/** How long a token lasts, in seconds. The page renews it while it sends, and the middleware decides again. */
const defaultTokenSeconds = 15 * 60

/** Routes of which a handler called with `Context` can run each. */
type Routes<Context> = Readonly<Record<string, UploadRoute<unknown, Context>>>

/** What the middlewares of all routes need. */
type ContextOf<Declared> =
  Declared[keyof Declared] extends UploadRoute<unknown, infer Context> ? Context : unknown

export type UploadsOptions<Declared extends Routes<never>> = {
  /** Where this backend reaches Millrace's API, such as `https://media.example`. */
  origin: string
  /** Where pages reach it, if that is elsewhere. */
  publicOrigin?: string
  /** An API key with the scope `tokens`. */
  apiKey: string | undefined
  /** The secret of the webhook (`whsec_…`); several while it is changed. */
  webhookSecret: string | readonly string[] | undefined
  /** The routes, each made by `route(…)`. */
  routes: Declared & Routes<ContextOf<Declared>>
  /** How long a token lasts, in seconds: 15 minutes. */
  tokenSeconds?: number
  /** Other origins whose pages may ask for tokens, with cookies: `https://app.example`. */
  allowedOrigins?: readonly string[]
  /** An upload of the tenant was erased. Millrace does not know its route any more. */
  onDeleted?: (deletion: Deletion) => unknown
  /** Gets errors of `middleware`, of callbacks and of Millrace, which the response does not tell. Default: `console.error`. */
  onError?: (error: unknown, request: Request) => void
  /** Replaces the global `fetch` for requests to Millrace. */
  fetch?: Fetch
}

/** Parameters of the handler: a context only if a route's middleware needs one. */
type HandlerParameters<Context> = unknown extends Context
  ? [request: Request, context?: unknown]
  : [request: Request, context: Context]

/**
 * Creates the half of uploads that lives in an app's own backend. Pages ask its handler for tokens (`POST ?route=name`), and
 * Millrace sends its events there. It keeps nothing between requests, so any instance can take each of them.
 *
 * ```ts
 * export const uploads = createUploads({
 *   origin: 'https://media.example',
 *   apiKey: process.env.MILLRACE_API_KEY,
 *   webhookSecret: process.env.MILLRACE_WEBHOOK_SECRET,
 *   routes: {
 *     avatar: route({
 *       accept: ['image/*'],
 *       maxFiles: 1,
 *       middleware: async ({ request }) => {
 *         const user = await userOf(request)
 *         if (!user) throw new UploadRefused('Please log in.', { status: 401 })
 *         return { user: user.id, metadata: { team: user.team } }
 *       },
 *       onReady: ({ upload, user, metadata, eventId }) => saveAvatar(user, upload, metadata.team, eventId),
 *     }),
 *   },
 * })
 * ```
 *
 * @returns `handler`: mount it for POST, in Node through `toNodeHandler`; `routes`, whose type `createRouteClient` needs
 */
export function createUploads<const Declared extends Routes<never>>(options: UploadsOptions<Declared>) {
  type Context = ContextOf<Declared>
  const { origin, apiKey, webhookSecret, onDeleted, fetch } = options
  const declared: Declared = options.routes
  const routes: Routes<Context> = options.routes
  const onError = options.onError ?? ((error: unknown) => console.error(error))
  const pages = createPageOrigins(options.allowedOrigins ?? [])
  const api = createFetchClient<paths>({
    baseUrl: origin,
    headers: { authorization: `Bearer ${apiKey}` },
    ...(fetch && { fetch }),
  })
  const grantUpload = createGrantUpload({
    ...{ api, routes },
    publicOrigin: options.publicOrigin ?? origin,
    tokenSeconds: options.tokenSeconds ?? defaultTokenSeconds,
  })
  const receiveEvent = createReceiveEvent({ routes, secret: webhookSecret ?? [], onDeleted })

  async function respond(request: Request, context: Context): Promise<Response> {
    if (request.method === 'OPTIONS') return pages.answerPreflight(request)
    if (request.method !== 'POST') {
      return problemResponse(
        { status: 405, code: 'request_invalid', detail: 'The method must be POST.' },
        { allow: 'POST' },
      )
    }
    if (request.headers.has('webhook-signature')) {
      await receiveEvent(request)
      return new Response(null, { status: 204 })
    }
    const route = new URL(request.url).searchParams.get('route')
    if (route === null) {
      const detail = 'The request has neither ?route=… nor the signature of a webhook.'
      throw new RouteError({ status: 400, code: 'request_invalid', detail })
    }
    pages.check(request)
    return jsonResponse(await grantUpload(request, route, context))
  }

  /** Answers an error. What is the backend's fault is told to `onError` only. */
  function respondToError(error: unknown, request: Request): Response {
    if (error instanceof UploadRefused) {
      return problemResponse({ status: error.status, code: 'refused', detail: error.message })
    }
    if (!(error instanceof RouteError) || error.status >= 500) onError(error, request)
    if (error instanceof RouteError) {
      const { status, code, message: detail } = error
      return problemResponse({ status, code, detail })
    }
    return problemResponse({ status: 500, code: 'failed', detail: 'The upload could not be prepared.' })
  }

  return {
    routes: declared,

    /** Answers a request. It never rejects. */
    async handler(...[request, context]: HandlerParameters<Context>): Promise<Response> {
      // The type of the parameters requires a context wherever a route needs one.
      const response = await respond(request, context as Context).catch((error) =>
        respondToError(error, request),
      )
      return pages.open(request, response)
    },
  }
}
