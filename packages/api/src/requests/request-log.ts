import { traceIdOf } from '@millrace/shared/tracing/traceparent.ts'
import { isUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { type FastifyBaseLogger, type FastifyReply, type FastifyRequest, LogController } from 'fastify'
import type { Bindings, ChildLoggerOptions, Level, LogFn, Logger } from 'pino'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** The stable name of the route's operation, for log lines. */
    operation?: string
  }
}

/**
 * Creates the log that requests write to. It logs a request's route and upload id, not its URL, since paths and queries
 * may contain tokens or file names.
 *
 * It is a pino logger except for `child`. Fastify keeps the serializers of a pino logger, and would replace those of
 * any other by its own, which redact nothing.
 */
export function createRequestLog(log: Logger): FastifyBaseLogger {
  const parent = log.child({}, { serializers: { req: describeRequest } })
  return Object.create(parent, {
    child: {
      value: (bindings: Bindings, options?: ChildLoggerOptions) => new LazyLog(parent, bindings, options),
    },
  })
}

const silent = () => undefined

/** The log of one request. Its pino logger is created with the first line, since most requests write few or none. */
class LazyLog implements FastifyBaseLogger {
  readonly #parent: Logger
  readonly #bindings: Bindings
  readonly #options: ChildLoggerOptions | undefined
  #logger: Logger | undefined
  #request: FastifyRequest | undefined

  constructor(parent: Logger, bindings: Bindings, options?: ChildLoggerOptions) {
    this.#parent = parent
    this.#bindings = bindings
    this.#options = options
  }

  #log(): Logger {
    this.#logger ??= this.#parent.child(
      this.#request ? { ...this.#bindings, operation: operationOf(this.#request) } : this.#bindings,
      this.#options,
    )
    return this.#logger
  }

  /** The operation's name is read only when the first line is written. */
  setRequest(request: FastifyRequest): void {
    this.#request = request
  }

  #writer(level: Level): LogFn {
    if (!this.#parent.isLevelEnabled(level)) return silent
    const log = this.#log()
    return log[level].bind(log)
  }
  get level() {
    return this.#parent.level
  }
  get fatal(): LogFn {
    return this.#writer('fatal')
  }
  get error(): LogFn {
    return this.#writer('error')
  }
  get warn(): LogFn {
    return this.#writer('warn')
  }
  get info(): LogFn {
    return this.#writer('info')
  }
  get debug(): LogFn {
    return this.#writer('debug')
  }
  get trace(): LogFn {
    return this.#writer('trace')
  }
  get silent(): LogFn {
    return silent
  }
  child(bindings: Bindings, options?: ChildLoggerOptions): FastifyBaseLogger {
    return new LazyLog(this.#log(), bindings, options)
  }
}

/** The operation of a request that no route matches. */
const noRoute = 'noRoute'

/** Returns the name of a request's operation, the same for all requests that no route matches. */
export function operationOf(request: FastifyRequest): string {
  return request.routeOptions.config.operation ?? noRoute
}

/** Adds the name of the request's operation to each line of its log. */
export function logOperation(request: FastifyRequest): void {
  if (request.log instanceof LazyLog) request.log.setRequest(request)
}

function describeRequest(request: FastifyRequest) {
  const id = uploadIdOf(request.params)
  return {
    method: request.method,
    route: request.routeOptions.url,
    ...(id !== undefined && { uploadId: id }),
    remoteAddress: request.ip,
  }
}

function uploadIdOf(params: unknown): string | undefined {
  if (typeof params !== 'object' || params === null || !('id' in params)) return undefined
  return typeof params.id === 'string' && isUploadId(params.id) ? params.id : undefined
}

/** Errors of a client that disconnected. The console does so after each event stream that has ended. */
const disconnectCodes = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE'])

/** Replaces Fastify's request logging: one line per request instead of two, and disconnected clients at `debug`. */
export class RequestLogController extends LogController {
  override incomingRequest(request: FastifyRequest): void {
    logOperation(request)
    request.log.debug({ req: request }, 'incoming request')
  }

  override streamError(error: NodeJS.ErrnoException, request: FastifyRequest, reply: FastifyReply): void {
    if (disconnectCodes.has(error.code ?? '')) reply.log.debug({ res: reply }, 'client disconnected')
    else super.streamError(error, request, reply)
  }

  override requestCompleted(
    error: NodeJS.ErrnoException | null | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): void {
    const { traceparent } = request
    const fields = {
      req: request,
      res: reply,
      responseTime: reply.elapsedTime,
      // The last bytes may have been written outside of the request's context, where the log knows no trace.
      ...(traceparent !== undefined && { traceId: traceIdOf(traceparent) }),
    }
    if (error && !disconnectCodes.has(error.code ?? ''))
      reply.log.error({ ...fields, err: error }, 'request errored')
    else reply.log.info(fields, 'request completed')
  }
}
