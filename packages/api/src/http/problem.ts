import { AppError, type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { logOperation } from './request-log.ts'

/** Which status each error code is answered with. */
export const statusOfCode = {
  invalid_request: 400,
  body_too_large: 413,
  unsupported_media_type: 415,
  unauthenticated: 401,
  forbidden: 403,
  cross_site: 403,
  rate_limited: 429,
  request_timeout: 408,
  headers_too_large: 431,
  not_found: 404,
  upload_not_found: 404,
  variant_not_found: 404,
  preset_unknown: 400,
  upload_too_large: 413,
  quota_exceeded: 413,
  quota_exhausted_today: 429,
  upload_not_ready: 409,
  upload_not_multipart: 409,
  upload_closed: 409,
  parts_mismatch: 409,
  idempotency_key_reused: 422,
  idempotency_key_in_use: 409,
  tus_version_unsupported: 412,
  upload_offset_mismatch: 409,
  upload_expired: 410,
  upload_locked: 423,
  // Of tus' own (checksum extension)
  chunk_checksum_mismatch: 460,
  image_corrupt: 422,
  image_too_many_pixels: 422,
  image_too_large: 422,
  size_mismatch: 422,
  checksum_mismatch: 422,
  type_not_allowed: 422,
  source_refused: 422,
  source_not_found: 422,
  source_unusable: 422,
  source_too_slow: 422,
  source_unavailable: 502,
  processing_failed: 500,
  dependency_unavailable: 503,
  overloaded: 503,
  draining: 503,
  conflict: 409,
  internal: 500,
} satisfies Record<ErrorCode, number>

/** A failure as clients see it: RFC 9457, `application/problem+json`. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: 'names the kind of problem: `urn:millrace:problem:` and the code' }),
    title: Type.String({ description: 'the same sentence for every problem of this kind' }),
    status: Type.Integer(),
    detail: Type.String({ description: 'what was wrong this time' }),
    code: Type.Enum(Object.keys(errorCatalogue), { title: 'ErrorCode' }),
    requestId: Type.String({ description: 'finds the request in the logs' }),
    errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), message: Type.String() }))),
    limit: Type.Optional(Type.Integer({ description: 'the limit that was passed, in bytes or files' })),
    remaining: Type.Optional(Type.Integer({ description: 'what is left of it' })),
  },
  { title: 'Problem' },
)

/** Answers every failure of an app, and every address that no route has, as a problem. */
export function registerErrorHandler(app: FastifyInstance): void {
  app.setNotFoundHandler((request, reply) => answer(new AppError('not_found'), request, reply))
  app.setErrorHandler<FastifyError>((thrown, request, reply) => {
    const error = toAppError(thrown)
    const { code, cause } = error
    if (statusOfCode[code] >= 500) request.log.error({ err: cause ?? error, code }, 'request failed')
    // Without the sentence: it may quote what the caller sent.
    else request.log.info({ code, ...(isFastifyError(cause) && { why: cause.code }) }, 'request refused')
    return answer(error, request, reply)
  })
}

/** Answers a request that Fastify refused before any hook has seen it: its address cannot be read. */
export function respondToUnroutable(
  thrown: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff')
  logOperation(request)
  request.log.info({ why: thrown.code }, 'request refused')
  answer(new AppError('invalid_request', { message: 'The address cannot be read.' }), request, reply)
}

/** An error as clients see it. */
export function toProblem(error: AppError, requestId: string): Static<typeof Problem> {
  return {
    type: `urn:millrace:problem:${error.code}`,
    title: errorCatalogue[error.code].message,
    status: statusOfCode[error.code],
    detail: error.message,
    code: error.code,
    requestId,
    ...(error.fields && { errors: error.fields }),
    ...(error.limit !== undefined && { limit: error.limit }),
    ...(error.remaining !== undefined && { remaining: error.remaining }),
  }
}

function answer(error: AppError, request: FastifyRequest, reply: FastifyReply) {
  const problem = toProblem(error, request.id)
  const { status } = problem
  // RFC 9110, 11.6.1: a 401 says how to authenticate.
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  // Seconds. Long enough for a failover of Redis to be over, or for a load balancer to choose anew.
  if (status === 503) reply.header('retry-after', '5')
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds))
  return reply.code(status).header('content-type', 'application/problem+json').send(JSON.stringify(problem))
}

/** What any thrown thing is in our words. The sentence of an unknown one stays in the log. */
function toAppError(thrown: FastifyError): AppError {
  if (thrown instanceof AppError) return thrown
  if (thrown.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new AppError('body_too_large', { cause: thrown })
  if (thrown.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new AppError('unsupported_media_type', { cause: thrown })
  }
  const status = thrown.statusCode ?? 500
  if (status >= 400 && status < 500) {
    return new AppError('invalid_request', { message: sentence(thrown.message), cause: thrown })
  }
  return new AppError(isOutage(thrown) ? 'dependency_unavailable' : 'internal', { cause: thrown })
}

/** Whether an error of a client library says that Redis, S3 or SQS could not be reached or is unwell. */
function isOutage(error: Error & { code?: string; $metadata?: unknown; $fault?: unknown }): boolean {
  return (
    error.name === 'MaxRetriesPerRequestError' ||
    error.name === 'TimeoutError' ||
    error.message === 'Connection is closed.' ||
    error.$fault === 'server' ||
    ['ECONNREFUSED', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT', 'ENOTFOUND', 'EAI_AGAIN'].includes(error.code ?? '')
  )
}

function isFastifyError(cause: unknown): cause is FastifyError {
  return cause instanceof Error && 'code' in cause && String(cause.code).startsWith('FST_')
}

function sentence(message: string): string {
  return message.endsWith('.') ? message : `${message}.`
}
