import type { IncomingMessage, Server } from 'node:http'
import type { Socket } from 'node:net'
import { connectionTimeouts } from '@millrace/shared/connections/connection-timeouts.ts'
import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { closeWithProblem } from '../requests/raw-problem.ts'
import { type IsKnownHost, requestedHost } from './known-hosts.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Whether the route is served under any host name: load balancers check health under an instance's address. */
    anyHost?: boolean
  }
}

/** Size limit of the request line and all headers together. A session cookie takes half a KiB. */
const maxHeaderBytes = 16 * 1024
/** Length limit of one path parameter. Upload ids have 36 characters, variant names at most 64. */
const maxParamCharacters = 256

/**
 * Returns the limits of the HTTP server. None of them limits the duration of a whole request: an upload or an
 * event stream may take days.
 *
 * @param options.headersTimeoutMs time in which a request's headers must arrive
 * @param options.uploadIdleTimeoutMs an idle connection stays open for longer than this (`connectionTimeouts`)
 * @param options.trustedProxies addresses and networks whose `X-Forwarded-*` headers are trusted
 */
export function httpLimits(options: {
  headersTimeoutMs: number
  uploadIdleTimeoutMs: number
  trustedProxies: string[]
}) {
  return {
    http: {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: options.headersTimeoutMs,
      // Interval at which Node checks the headers timeout, in ms.
      connectionsCheckingInterval: Math.min(options.headersTimeoutMs / 2, 5_000),
      // `refuseOddRequests` checks the Host header, so that the error is a problem.
      requireHostHeader: false,
    },
    requestTimeout: 0,
    keepAliveTimeout: connectionTimeouts(options.uploadIdleTimeoutMs).keepAliveMs,
    trustProxy: options.trustedProxies.length > 0 && options.trustedProxies,
    clientErrorHandler,
  }
}

export const routerLimits = { maxParamLength: maxParamCharacters }

/**
 * Refuses, with a problem, requests that Node would refuse with a response without a body, and requests for hosts that
 * are not the API's own.
 */
export function refuseOddRequests(
  app: FastifyInstance & { server: Server },
  { isKnownHost }: { isKnownHost: IsKnownHost },
): void {
  app.server.on('checkExpectation', ({ socket }) => closeWithProblem(socket, 'invalid_request'))
  app.addHook('onRequest', (request, _reply, done) => done(hostError(request)))

  function hostError(request: FastifyRequest): AppError | undefined {
    const { raw } = request
    // Node keeps the first of several headers and drops the others. A proxy may have read another one.
    if (hasTwoHosts(raw))
      return new AppError('invalid_request', { message: 'Only one Host header is allowed.' })
    const host = requestedHost(raw)
    if (!host) {
      // RFC 9112, 3.2
      return raw.httpVersion === '1.1'
        ? new AppError('invalid_request', { message: 'The Host header is required.' })
        : undefined
    }
    if (isKnownHost(host, raw.socket) || request.routeOptions.config.anyHost) return undefined
    return new AppError('host_unknown', { message: foreignHost })
  }
}

const foreignHost =
  'This server does not serve this host name. It serves those of PUBLIC_ORIGIN, ALLOWED_HOSTS and this machine.'

function hasTwoHosts({ rawHeaders }: IncomingMessage): boolean {
  let hosts = 0
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index]
    if (name?.length === 4 && name.toLowerCase() === 'host') hosts += 1
  }
  return hosts > 1
}

const codeOfClientError = new Map<string, ErrorCode>([
  ['HPE_HEADER_OVERFLOW', 'headers_too_large'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'request_timeout'],
])

/** Handles bytes on a socket that are not HTTP or arrive too late. */
function clientErrorHandler(error: NodeJS.ErrnoException, socket: Socket): void {
  // Bytes after a request with `connection: close`. Its response closes the connection.
  if (error.code === 'HPE_CLOSED_CONNECTION') return
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  closeWithProblem(socket, codeOfClientError.get(error.code ?? '') ?? 'invalid_request')
}
