import { fullStorageOf, isOutage } from '@millrace/shared/connections/outage.ts'
import { AppError, type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { logOperation } from './request-log.ts'

/** Counts a problem that was sent. */
export type CountProblem = (code: ErrorCode) => void

/** The HTTP status of each error code. */
export const statusOfCode = {
  invalid_request: 400,
  body_too_large: 413,
  unsupported_media_type: 415,
  unauthenticated: 401,
  token_invalid: 401,
  token_expired: 401,
  token_revoked: 401,
  identity_provider_unavailable: 503,
  forbidden: 403,
  token_limit: 403,
  token_used_up: 429,
  cross_site: 403,
  // Misdirected Request (RFC 9110, 15.5.20)
  host_unknown: 421,
  rate_limited: 429,
  request_timeout: 408,
  headers_too_large: 431,
  not_found: 404,
  upload_not_found: 404,
  user_not_found: 404,
  erasure_not_found: 404,
  key_not_found: 404,
  token_not_found: 404,
  webhook_not_found: 404,
  delivery_not_found: 404,
  webhook_url_refused: 400,
  too_many_keys: 409,
  too_many_webhooks: 409,
  variant_not_found: 404,
  preset_unknown: 400,
  upload_too_large: 413,
  too_many_uploads: 429,
  too_many_streams: 429,
  too_many_unfinished_uploads: 429,
  too_many_sessions: 429,
  quota_exceeded: 413,
  quota_exhausted_today: 429,
  upload_not_ready: 409,
  upload_not_multipart: 409,
  upload_closed: 409,
  upload_not_finished: 409,
  original_missing: 409,
  parts_mismatch: 409,
  idempotency_key_reused: 422,
  idempotency_key_in_use: 409,
  tus_version_unsupported: 412,
  upload_offset_mismatch: 409,
  upload_expired: 410,
  upload_locked: 423,
  // Defined by tus (checksum extension)
  chunk_checksum_mismatch: 460,
  image_corrupt: 422,
  image_too_many_pixels: 422,
  image_too_large: 422,
  image_too_complex: 422,
  image_not_supported: 422,
  malware_found: 422,
  too_large_to_scan: 422,
  inspection_refused: 422,
  poison_file: 422,
  size_mismatch: 422,
  checksum_mismatch: 422,
  type_not_allowed: 422,
  source_refused: 422,
  source_not_found: 422,
  source_unusable: 422,
  source_too_slow: 422,
  source_unavailable: 502,
  processing_failed: 500,
  scan_unavailable: 503,
  not_configured: 501,
  dependency_unavailable: 503,
  unreadable_record: 503,
  storage_busy: 503,
  // Insufficient Storage (RFC 4918, 11.5)
  storage_full: 507,
  overloaded: 503,
  draining: 503,
  conflict: 409,
  internal: 500,
} satisfies Record<ErrorCode, number>

/** Codes whose problems have the header `Retry-After`, in addition to all problems with the status 503. */
export const codesWithRetryAfter: ReadonlySet<ErrorCode> = new Set([
  'rate_limited',
  'too_many_uploads',
  'too_many_streams',
  'too_many_unfinished_uploads',
  'too_many_sessions',
  'quota_exhausted_today',
  'idempotency_key_in_use',
])

/** Body of an error response: RFC 9457, `application/problem+json`. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: 'the kind of problem: `urn:millrace:problem:` and the code' }),
    title: Type.String({ description: 'a sentence that is the same for all problems of this kind' }),
    status: Type.Integer(),
    detail: Type.String({ description: 'what is wrong with this request' }),
    // RFC 9457, 3.2: a problem may have further members. Uppy 5 shows `message` of a JSON error.
    message: Type.String({ description: 'the same as `detail`, for clients that read this name' }),
    code: Type.Enum(Object.keys(errorCatalogue), { title: 'ErrorCode' }),
    requestId: Type.String({ description: 'identifies the request in the log' }),
    errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), message: Type.String() }))),
    limit: Type.Optional(Type.Integer({ description: 'the exceeded limit, in bytes or files' })),
    remaining: Type.Optional(Type.Integer({ description: 'the remainder of the limit' })),
  },
  { title: 'Problem' },
)

/**
 * Makes an app send a problem for every error and for every path without a route.
 *
 * @param countProblem counts each
 */
export function registerErrorHandler(app: FastifyInstance, countProblem: CountProblem = () => {}): void {
  app.setNotFoundHandler((request, reply) => {
    countProblem('not_found')
    return sendProblem(new AppError('not_found'), request, reply)
  })
  app.setErrorHandler<FastifyError>((thrown, request, reply) => {
    const error = toAppError(thrown)
    const { code, cause } = error
    countProblem(code)
    if (statusOfCode[code] >= 500) request.log.error({ err: cause ?? error, code }, 'request failed')
    // Without the message, because it may quote the request.
    else request.log.info({ code, ...whyOf(cause) }, 'request refused')
    return sendProblem(error, request, reply)
  })
}

/** Sends a problem for a request that Fastify refused before any hook ran, because its path is malformed. */
export function respondToUnroutable(
  thrown: FastifyError,
  request: FastifyRequest,
  reply: FastifyReply,
): void {
  reply.header('x-request-id', request.id).header('x-content-type-options', 'nosniff')
  logOperation(request)
  request.log.info({ why: thrown.code }, 'request refused')
  sendProblem(new AppError('invalid_request', { message: 'The path is malformed.' }), request, reply)
}

/** Returns the problem of an error. */
export function toProblem(error: AppError, requestId: string): Static<typeof Problem> {
  return {
    type: `urn:millrace:problem:${error.code}`,
    title: errorCatalogue[error.code].message,
    status: statusOfCode[error.code],
    detail: error.message,
    message: error.message,
    code: error.code,
    requestId,
    ...(error.fields && { errors: error.fields }),
    ...(error.limit !== undefined && { limit: error.limit }),
    ...(error.remaining !== undefined && { remaining: error.remaining }),
  }
}

function sendProblem(error: AppError, request: FastifyRequest, reply: FastifyReply) {
  const problem = toProblem(error, request.id)
  const { status } = problem
  // RFC 9110, 11.6.1: a 401 response names the authentication scheme.
  if (status === 401) reply.header('www-authenticate', 'Bearer')
  // Seconds. Enough time for a Redis failover, or for a load balancer to choose another instance.
  if (status === 503) reply.header('retry-after', '5')
  if (error.retryAfterSeconds !== undefined) reply.header('retry-after', String(error.retryAfterSeconds))
  return reply.code(status).header('content-type', 'application/problem+json').send(JSON.stringify(problem))
}

/** Converts a thrown error to an AppError. The message of an unknown error is only logged. */
function toAppError(thrown: FastifyError): AppError {
  const isOwn = thrown instanceof AppError
  const storage = isOwn && thrown.code !== 'dependency_unavailable' ? undefined : fullStorageOf(thrown)
  if (storage !== undefined) {
    const message = `The disk of ${storage} has no space left. Free some space, then send the request again.`
    return new AppError('storage_full', { message, cause: thrown })
  }
  if (isOwn) return thrown
  if (thrown.code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new AppError('body_too_large', { cause: thrown })
  if (thrown.code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') {
    return new AppError('unsupported_media_type', { cause: thrown })
  }
  const status = thrown.statusCode ?? 500
  if (status >= 400 && status < 500) {
    return new AppError('invalid_request', { message: withFullStop(thrown.message), cause: thrown })
  }
  return new AppError(isOutage(thrown) ? 'dependency_unavailable' : 'internal', { cause: thrown })
}

/** Returns what Fastify or the library of JWTs found. Clients are not told why their JWT is refused, so the log is. */
function whyOf(cause: unknown): { why?: string; claim?: string } {
  if (!(cause instanceof Error) || !('code' in cause) || !/^(FST|ERR_J[A-Z]+)_/.test(String(cause.code)))
    return {}
  return {
    why: String(cause.code),
    ...('claim' in cause && typeof cause.claim === 'string' && { claim: cause.claim }),
  }
}

function withFullStop(message: string): string {
  return message.endsWith('.') ? message : `${message}.`
}
