import { isUploadId } from '@millrace/shared/upload-id.ts'
import { type FastifyBaseLogger, type FastifyReply, type FastifyRequest, LogController } from 'fastify'

/**
 * The log that requests write to. Of a request it keeps the route and the upload, not the address as it was
 * sent: what callers put into paths and queries may be tokens or names of files.
 */
export function createRequestLog(log: FastifyBaseLogger): FastifyBaseLogger {
  return log.child({}, { serializers: { req: describeRequest } })
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

/** What Fastify itself logs, with a client that left told at `debug`. */
export class RequestLogController extends LogController {
  override streamError(error: NodeJS.ErrnoException, request: FastifyRequest, reply: FastifyReply): void {
    if (hungUp.has(error.code ?? '')) reply.log.debug({ res: reply }, 'client left')
    else super.streamError(error, request, reply)
  }

  override requestCompleted(
    error: NodeJS.ErrnoException | null | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): void {
    super.requestCompleted(hungUp.has(error?.code ?? '') ? null : error, request, reply)
  }
}
