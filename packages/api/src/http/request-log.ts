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
 * The log that requests write to. Of a request it keeps the route and the upload, not the address as it was
 * sent: what callers put into paths and queries may be tokens or names of files.
 *
 * It is pino's but for `child`: Fastify takes over the serializers of a logger that it knows as pino's, and would put
 * its own, which redact nothing, in the place of those of any other.
 */
export function createRequestLog(log: Logger): FastifyBaseLogger {
  const described = log.child({}, { serializers: { req: describeRequest } })
  return Object.create(described, {
    child: {
      value: (bindings: Bindings, options?: ChildLoggerOptions) => new OwnLog(described, bindings, options),
    },
  })
}

const silent = () => undefined

/** The log of one request, made when it first has something to write: at the level `warn` few ever do. */
class OwnLog implements FastifyBaseLogger {
  readonly #parent: Logger
  readonly #bindings: Bindings
  readonly #options: ChildLoggerOptions | undefined
  #made: Logger | undefined
  #request: FastifyRequest | undefined

  constructor(parent: Logger, bindings: Bindings, options?: ChildLoggerOptions) {
    this.#parent = parent
    this.#bindings = bindings
    this.#options = options
  }

  #log(): Logger {
    this.#made ??= this.#parent.child(
      this.#request
        ? { ...this.#bindings, operation: this.#request.routeOptions.config.operation ?? noRoute }
        : this.#bindings,
      this.#options,
    )
    return this.#made
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
    return new OwnLog(this.#log(), bindings, options)
  }
}

/** The operation of a request that no route matches. */
const noRoute = 'noRoute'

/** Adds the name of the request's operation to each line of its log. */
export function logOperation(request: FastifyRequest): void {
  if (request.log instanceof OwnLog) request.log.setRequest(request)
}

function describeRequest(request: FastifyRequest) {
  const id = namedUpload(request.params)
  return {
    method: request.method,
    route: request.routeOptions.url,
    ...(id !== undefined && { uploadId: id }),
    remoteAddress: request.ip,
  }
}

function namedUpload(params: unknown): string | undefined {
  if (typeof params !== 'object' || params === null || !('id' in params)) return undefined
  return typeof params.id === 'string' && isUploadId(params.id) ? params.id : undefined
}

/** A client that hangs up is no news: the console does, with each event stream that told it the end. */
const hungUp = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE'])

/** What Fastify itself logs, with one line for a request rather than two, and a client that left told at `debug`. */
export class RequestLogController extends LogController {
  override incomingRequest(request: FastifyRequest): void {
    logOperation(request)
    request.log.debug({ req: request }, 'incoming request')
  }

  override streamError(error: NodeJS.ErrnoException, request: FastifyRequest, reply: FastifyReply): void {
    if (hungUp.has(error.code ?? '')) reply.log.debug({ res: reply }, 'client left')
    else super.streamError(error, request, reply)
  }

  override requestCompleted(
    error: NodeJS.ErrnoException | null | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): void {
    const told = { req: request, res: reply, responseTime: reply.elapsedTime }
    if (error && !hungUp.has(error.code ?? '')) reply.log.error({ ...told, err: error }, 'request errored')
    else reply.log.info(told, 'request completed')
  }
}
