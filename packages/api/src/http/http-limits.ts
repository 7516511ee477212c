import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import type { FastifyInstance } from 'fastify'
import { closeWithProblem } from './raw-problem.ts'

/** Of a request's line and headers together. A session cookie takes half a KiB of it. */
const maxHeaderBytes = 16 * 1024
/** Of one part of a path. Upload ids have 36 characters, names of variants at most 64. */
const maxParamCharacters = 256
/**
 * How long an idle connection stays open, in ms: longer than the load balancer in front keeps it (60 s for
 * an ALB), or it would send a request into a connection that is being closed.
 */
export const keepAliveMs = 75_000

/**
 * The limits of the HTTP server itself. None of them counts how long a whole request may take: an upload or a
 * stream of events may take days.
 *
 * @param options.headersTimeoutMs how long a request's headers may take to arrive
 * @param options.trustedProxies addresses and networks whose `X-Forwarded-*` headers are believed
 */
export function httpLimits(options: { headersTimeoutMs: number; trustedProxies: string[] }) {
  return {
    http: {
      maxHeaderSize: maxHeaderBytes,
      headersTimeout: options.headersTimeoutMs,
      // How often Node looks for late headers, in ms.
      connectionsCheckingInterval: Math.min(options.headersTimeoutMs / 2, 5_000),
      // Asked for below, in our words.
      requireHostHeader: false,
    },
    requestTimeout: 0,
    keepAliveTimeout: keepAliveMs,
    trustProxy: options.trustedProxies.length > 0 && options.trustedProxies,
    clientErrorHandler,
  }
}

export const routerLimits = { maxParamLength: maxParamCharacters }

/** Answers what Node would answer by itself without a body, as a problem. */
export function refuseOddRequests(app: FastifyInstance & { server: Server }): void {
  app.server.on('checkExpectation', ({ socket }) => closeWithProblem(socket, 'invalid_request'))
  app.addHook('onRequest', ({ raw }, _reply, done) => {
    // RFC 9112, 3.2
    const isOdd = raw.headers.host === undefined && raw.httpVersion === '1.1'
    done(isOdd ? new AppError('invalid_request', { message: 'A request needs a Host header.' }) : undefined)
  })
}

const codeOfClientError = new Map<string, ErrorCode>([
  ['HPE_HEADER_OVERFLOW', 'headers_too_large'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'request_timeout'],
])

/** What arrives on a socket is no HTTP, or comes too late. */
function clientErrorHandler(error: NodeJS.ErrnoException, socket: Socket): void {
  // Bytes behind a request that said it is the last one. Its answer closes the connection.
  if (error.code === 'HPE_CLOSED_CONNECTION') return
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  closeWithProblem(socket, codeOfClientError.get(error.code ?? '') ?? 'invalid_request')
}
