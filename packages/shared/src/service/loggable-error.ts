import { scrubSecrets } from './scrub-secrets.ts'

/** The logged form of an error. */
export type LoggableError = {
  type: string
  message: string
  stack?: string
  code?: string
  /** The status of AWS' response, and its request id for AWS support. */
  httpStatus?: number
  awsRequestId?: string
  cause?: LoggableError
  errors?: LoggableError[]
}

/** Longest logged chain of causes. A longer one may be a circle. */
const maxCauses = 5
/** Of an AggregateError, the first errors are enough: usually all addresses of a host fail alike. */
const maxErrors = 4

/**
 * Returns the logged form of a thrown value. Errors of libraries carry requests, headers and commands (`$response` of
 * the AWS SDK, `command` of ioredis). Only the fields named here are copied.
 *
 * @param thrown anything
 */
export function loggableError(thrown: unknown, depth = 0): LoggableError {
  if (!(thrown instanceof Error))
    return { type: typeof thrown, message: 'A value was thrown that is not an Error.' }
  const { cause } = thrown
  const metadata = '$metadata' in thrown ? thrown.$metadata : undefined
  const errors = thrown instanceof AggregateError ? thrown.errors : []
  const logsCause = depth < maxCauses
  return {
    type: thrown.name,
    message: scrubSecrets(thrown.message),
    ...(thrown.stack !== undefined && { stack: scrubSecrets(thrown.stack) }),
    ...('code' in thrown && typeof thrown.code === 'string' && { code: thrown.code }),
    ...(isObject(metadata) &&
      typeof metadata.httpStatusCode === 'number' && { httpStatus: metadata.httpStatusCode }),
    ...(isObject(metadata) && typeof metadata.requestId === 'string' && { awsRequestId: metadata.requestId }),
    ...(logsCause && cause instanceof Error && { cause: loggableError(cause, depth + 1) }),
    ...(logsCause &&
      errors.length > 0 && {
        errors: errors.slice(0, maxErrors).map((error: unknown) => loggableError(error, depth + 1)),
      }),
  }
}

function isObject(value: unknown): value is { httpStatusCode?: unknown; requestId?: unknown } {
  return typeof value === 'object' && value !== null
}
