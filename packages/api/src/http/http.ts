import { randomUUID } from 'node:crypto'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import { createAllowedOrigins } from '@millrace/shared/network/allowed-origins.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import fastify, { type FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { type CountProblem, registerErrorHandler, respondToUnroutable } from '../requests/problem.ts'
import { createRequestLog, RequestLogController } from '../requests/request-log.ts'
import { serializerCompiler } from '../requests/serialization.ts'
import { validatorCompiler } from '../requests/validation.ts'
import { closeUnusedConnections } from './close-unused-connections.ts'
import { allowOrigins } from './cross-origin.ts'
import { acceptEmptyBodies } from './empty-bodies.ts'
import { httpLimits, refuseOddRequests, routerLimits } from './http-limits.ts'
import { createKnownHosts } from './known-hosts.ts'
import { acceptProxyProtocol } from './proxy-protocol.ts'
import { createPublicPath } from './public-path.ts'
import { securityHeaders } from './security-headers.ts'

/** A JSON body of ours is small; the largest route says so itself. */
const bodyLimitBytes = 64 * 1024

/** Makes each request to an app a span, and gives it a `traceparent`. */
export type TraceRequests = (app: FastifyInstance) => void

/**
 * Creates the HTTP server without any route.
 *
 * @param deps.traceRequests undefined: requests are not traced
 * @returns `app`; `closing`, which aborts when the app begins to close; and `protect`, which adds the error handler and
 *   the checks of every request. Hooks that are to see refused requests as well are added before `protect`
 */
export function createHttp(deps: {
  log: Logger
  traceRequests?: TraceRequests | undefined
  countProblem: CountProblem
  config: {
    headersTimeoutMs: number
    uploadIdleTimeoutMs: number
    trustedProxies: string[]
    proxyProtocol: boolean
    publicOrigin: string
    publicPath: string
    allowedHosts: string[]
    allowedOrigins: string[]
  }
}) {
  const closing = new AbortController()
  const publicPath = createPublicPath(deps.config.publicPath)
  const app = fastify({
    loggerInstance: createRequestLog(deps.log),
    logController: new RequestLogController(),
    genReqId: () => randomUUID(),
    bodyLimit: bodyLimitBytes,
    ...(deps.config.publicPath !== '' && { rewriteUrl: publicPath.removeFrom }),
    ...httpLimits(deps.config),
    routerOptions: { ignoreTrailingSlash: true, ...routerLimits },
    frameworkErrors(error, request, reply) {
      deps.countProblem('invalid_request')
      respondToUnroutable(error, request, reply)
    },
  }).withTypeProvider<TypeBoxTypeProvider>()
  if (deps.config.proxyProtocol) acceptProxyProtocol(app.server, { timeoutMs: deps.config.headersTimeoutMs })
  deps.traceRequests?.(app)
  app.setValidatorCompiler(validatorCompiler)
  app.setSerializerCompiler(serializerCompiler)
  acceptEmptyBodies(app)
  // Hooks of every request take a callback: an async function costs a promise and a turn of the microtasks.
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
  app.addHook('preClose', async () => closing.abort(new AppError('draining')))
  publicPath.addToLocations(app)
  // A connection that stays open after its last response would delay the close of the instance.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (closing.signal.aborted) reply.header('connection', 'close')
    done()
  })

  return {
    app,
    closing: closing.signal,
    /** @param options.secure whether clients reach the API over HTTPS */
    async protect(options: { secure: boolean }): Promise<void> {
      registerErrorHandler(app, deps.countProblem)
      securityHeaders(app, options)
      await allowOrigins(app, createAllowedOrigins(deps.config))
      refuseOddRequests(app, { isKnownHost: createKnownHosts(deps.config) })
      closeUnusedConnections(app)
    },
  }
}
