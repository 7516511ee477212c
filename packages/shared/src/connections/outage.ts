import { AppError, type ErrorCode } from '../service/app-error.ts'

/** Names of errors of ioredis and of the AWS SDK. */
const names: ReadonlySet<unknown> = new Set([
  'MaxRetriesPerRequestError',
  'ClusterAllFailedError',
  // The SDK's timeouts, and S3's own errors that have a status below 500.
  'TimeoutError',
  'RequestTimeout',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'RequestThrottled',
  // The instance's role has no credentials at the moment, or its credentials have expired.
  'CredentialsProviderError',
  'ExpiredToken',
  'ExpiredTokenException',
])

/**
 * Statuses below 500 of S3 and SQS: throttled, or not permitted. A wrong policy, key or clock is not the file's fault
 * either, and it may be corrected.
 */
const outageStatuses: ReadonlySet<number> = new Set([401, 403, 429])

/** Codes of Node's network errors. */
const codes: ReadonlySet<unknown> = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ERR_STREAM_PREMATURE_CLOSE',
])

/** Messages of ioredis, whose errors have no code. */
const messages: ReadonlySet<unknown> = new Set([
  'Connection is closed.',
  'Command timed out',
  // The rest of a pipeline or transaction, if the connection closed within it.
  'Command aborted due to connection close',
])

/**
 * Redis' replies while it is full, read-only, loading, or without its primary. Some versions quote the reply of a
 * script's command after their own words.
 */
const redisReply =
  /(?:^|: )-?(?:READONLY|OOM|LOADING|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|NOREPLICAS|MISCONF|BUSY) /

/** Redis' replies of a server that is not the primary, or has lost the rest of its cluster. */
const roleLostReply = /(?:^|: )-?(?:READONLY|MASTERDOWN|CLUSTERDOWN) /

/** Codes of our own errors that report an outage. */
const outageCodes: ReadonlySet<ErrorCode> = new Set(['dependency_unavailable', 'storage_full'])

/** Insufficient Storage (RFC 4918, 11.5): the local S3 and MinIO return it. AWS never does. */
const insufficientStorage = 507

/** Redis' reply while it cannot append to its file because the disk is full. It quotes the system's error. */
const redisDiskFull = /(?:^|: )-?MISCONF .*(?:No space left on device|Disk quota exceeded)/

/** How many causes of an error are read. */
const maxCauses = 5

/**
 * Returns whether an error means that Redis, S3 or SQS cannot be reached or fails: the same call may succeed later,
 * and nothing is wrong with the file or the request.
 */
export function isOutage(error: unknown): boolean {
  let current = error
  for (let depth = 0; depth < maxCauses && isObject(current); depth++) {
    // Our own errors were already classified. Their cause may be an outage of an import's source.
    if (current instanceof AppError) return outageCodes.has(current.code)
    if (isOutageItself(current)) return true
    current = current['cause']
  }
  return false
}

/** Returns which storage refused a write because its disk is full; undefined if the error means something else. */
export function fullStorageOf(error: unknown): 'S3' | 'Redis' | undefined {
  let current = error
  for (let depth = 0; depth < maxCauses && isObject(current); depth++) {
    const { $metadata: metadata, previousErrors, cause } = current
    if (isObject(metadata) && metadata['httpStatusCode'] === insufficientStorage) return 'S3'
    // ioredis keeps the errors of a command's earlier attempts in each of them, so the list contains the error itself.
    const replies = [current, ...(Array.isArray(previousErrors) ? previousErrors : [])]
    if (replies.some(saysDiskFull)) return 'Redis'
    current = cause
  }
  return undefined
}

function saysDiskFull(reply: unknown): boolean {
  return reply instanceof Error && redisDiskFull.test(reply.message)
}

/**
 * Returns whether a reply means that its server is not the primary any more. Another connection to the same address may
 * lead to one that is. It would not help with a Redis that is full or loading.
 */
export function isRoleLost(reply: Error): boolean {
  return roleLostReply.test(reply.message)
}

/** Returns whether an error is the reply of a Redis that refuses a write because it is full. */
export function isOutOfMemory(error: unknown): boolean {
  return error instanceof Error && /(?:^|: )-?OOM /.test(error.message)
}

/** Codes of our own errors after which the same call may succeed, besides those of an outage. */
const transientCodes: ReadonlySet<ErrorCode> = new Set(['conflict', 'scan_unavailable'])

/**
 * Whether the same call may succeed at once or later: in an outage, also of a scanner, or after other processes changed
 * the same record.
 */
export function isTransient(error: unknown): boolean {
  return isOutage(error) || (error instanceof AppError && transientCodes.has(error.code))
}

function isOutageItself(error: Record<string, unknown>): boolean {
  const { name, code, message, $fault: fault, $metadata: metadata } = error
  const status = isObject(metadata) ? metadata['httpStatusCode'] : undefined
  return (
    names.has(name) ||
    codes.has(code) ||
    messages.has(message) ||
    fault === 'server' ||
    (typeof status === 'number' && (status >= 500 || outageStatuses.has(status))) ||
    (name === 'ReplyError' && typeof message === 'string' && redisReply.test(message)) ||
    // A transaction that Redis discarded, because it refused one of its commands.
    (Array.isArray(error['previousErrors']) && error['previousErrors'].some(isOutage))
  )
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}
