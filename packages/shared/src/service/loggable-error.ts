import { scrubSecrets } from './scrub-secrets.ts'

/** An error as it is logged. */
export type LoggableError = {
  type: string
  message: string
  stack?: string
  code?: string
  /** What AWS answered, and the id under which its support finds the request. */
  httpStatus?: number
  awsRequestId?: string
  cause?: LoggableError
  errors?: LoggableError[]
}

/** A chain of causes that is longer than this tells nothing more, and may be a circle. */
const deepestCause = 5
/** Of the errors behind one, the first ones are telling: all addresses of a host refuse alike. */
const mostErrors = 4

/**
 * What is logged of a thrown thing. Errors of libraries carry whole requests, headers and commands with them
 * (`$response` of the AWS SDK, `command` of ioredis); none of that is taken along, only what is named here.
 *
 * @param thrown anything
 */
export function loggableError(thrown: unknown, depth = 0): LoggableError {
  if (!(thrown instanceof Error))
    return { type: typeof thrown, message: 'Something was thrown that is no Error.' }
  const { cause } = thrown
  const metadata = '$metadata' in thrown ? thrown.$metadata : undefined
  const errors = thrown instanceof AggregateError ? thrown.errors : []
  const deeper = depth < deepestCause
  return {
    type: thrown.name,
    message: scrubSecrets(thrown.message),
    ...(thrown.stack !== undefined && { stack: scrubSecrets(thrown.stack) }),
    ...('code' in thrown && typeof thrown.code === 'string' && { code: thrown.code }),
    ...(isObject(metadata) &&
      typeof metadata.httpStatusCode === 'number' && { httpStatus: metadata.httpStatusCode }),
    ...(isObject(metadata) && typeof metadata.requestId === 'string' && { awsRequestId: metadata.requestId }),
    ...(deeper && cause instanceof Error && { cause: loggableError(cause, depth + 1) }),
    ...(deeper &&
      errors.length > 0 && {
        errors: errors.slice(0, mostErrors).map((error: unknown) => loggableError(error, depth + 1)),
      }),
  }
}

function isObject(value: unknown): value is { httpStatusCode?: unknown; requestId?: unknown } {
  return typeof value === 'object' && value !== null
}
