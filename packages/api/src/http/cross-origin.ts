import cors, { type FastifyCorsOptions } from '@fastify/cors'
import type { AllowedOrigins } from '@millrace/shared/network/allowed-origins.ts'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** `false`: pages of other origins can neither call the route nor read its responses. */
    cors?: false
  }
}

/** Request headers that pages of other origins may send, in addition to those that they always may. */
const allowedHeaders = [
  ...[
    'Authorization',
    // Dropzone sends it.
    'Cache-Control',
    'Content-Type',
    'Content-Disposition',
    'Idempotency-Key',
    'Last-Event-ID',
    'Millrace-User',
  ],
  ...['Range', 'X-HTTP-Method-Override', 'X-Request-ID', 'X-Requested-With', 'traceparent', 'tracestate'],
  // tus 1.0.0
  ...[
    'Tus-Resumable',
    'Upload-Checksum',
    'Upload-Concat',
    'Upload-Defer-Length',
    'Upload-Length',
    'Upload-Metadata',
  ],
  ...['Upload-Offset'],
  // Uppy's requests to /uppy/.
  'Uppy-Versions',
]

/** Response headers that pages of other origins may read, in addition to those that they always may. */
const exposedHeaders = [
  ...['ETag', 'Location', 'Retry-After', 'WWW-Authenticate', 'X-Request-Id'],
  // tus 1.0.0
  ...[
    'Tus-Checksum-Algorithm',
    'Tus-Extension',
    'Tus-Max-Size',
    'Tus-Resumable',
    'Tus-Version',
    'Upload-Expires',
  ],
  ...['Upload-Defer-Length', 'Upload-Length', 'Upload-Metadata', 'Upload-Offset'],
]

/** How long browsers may remember the answer to a preflight request, in seconds. Chromium's own limit. */
const preflightLifeSeconds = 7_200

const withToken: FastifyCorsOptions = {
  // The origin of the request, which was checked.
  origin: true,
  methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE'],
  allowedHeaders,
  exposedHeaders,
  maxAge: preflightLifeSeconds,
}
/** By site. Other requests with the method OPTIONS, such as those of tus, are not preflight requests. */
const answers = {
  'same-site': { ...withToken, credentials: true },
  'other-site': withToken,
}
const requests = {
  'same-site': { ...answers['same-site'], preflight: false },
  'other-site': { ...answers['other-site'], preflight: false },
}
const notAllowed: FastifyCorsOptions = { origin: false }

/**
 * Lets pages of the allowed origins call the API (CORS, Fetch Standard). Preflight requests are answered before any other
 * check, since browsers send them without credentials. All other responses, also refusals, get the headers without which
 * a page cannot read them. Cookies are for pages of the API's own site only.
 *
 * Routes with the scope `admin` and those with `cors: false` are left out. An app without allowed origins is left as it is.
 *
 * @param app has no routes yet. Hooks that are added later can refuse requests; their responses have the headers
 */
export async function allowOrigins(app: FastifyInstance, allowedOrigins: AllowedOrigins): Promise<void> {
  if (allowedOrigins.isEmpty) return
  const closedUrls = new Set<string>()
  app.addHook('onRoute', (route) => {
    // The plugin's own route, for the preflight requests of all others.
    if (route.url === '*') route.config = { ...route.config, operation: 'preflight' }
    if (route.config?.scope === 'admin') route.config = { ...route.config, cors: false }
    if (route.config?.cors !== false || route.method === 'OPTIONS') return
    // Without a route of its own, its preflight request would get to the route for all others.
    if (closedUrls.has(route.url)) return
    closedUrls.add(route.url)
    app.options(route.url, { config: { cors: false }, schema: { hide: true } }, (_request, reply) =>
      reply.callNotFound(),
    )
  })
  await app.register(cors, {
    delegator(request: FastifyRequest, callback: (error: null, options: FastifyCorsOptions) => void) {
      callback(null, optionsOf(request))
    },
  })

  function optionsOf({ method, headers }: FastifyRequest): FastifyCorsOptions {
    const site = headers.origin === undefined ? undefined : allowedOrigins.find(headers.origin)
    if (site === undefined) return notAllowed
    const isPreflight = method === 'OPTIONS' && headers['access-control-request-method'] !== undefined
    return (isPreflight ? answers : requests)[site]
  }
}

/** Returns the headers of a reply without which a page of another origin cannot read it. */
export function crossOriginHeaders(reply: FastifyReply): [name: string, value: string][] {
  return Object.entries(reply.getHeaders()).flatMap(([name, value]) =>
    name === 'vary' || name.startsWith('access-control-') ? [[name, String(value)]] : [],
  )
}
