import type { components } from './api-types.ts'

export type Problem = components['schemas']['Problem']

/** An error response of the API. `code`, `status` and `message` are those of its problem+json (RFC 9457). */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem'
  readonly status: number
  /** `unknown` if the response is no problem+json of the API, for example an error page of a proxy. */
  readonly code: Problem['code'] | 'unknown'
  readonly problem: Problem | undefined
  /** The response's `Retry-After`, in ms. */
  readonly retryAfterMs: number | undefined

  constructor(response: Response, problem: Problem | undefined) {
    super(problem?.detail ?? `The server returned status ${response.status}.`)
    this.status = response.status
    this.code = problem?.code ?? 'unknown'
    this.problem = problem
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
    this.retryAfterMs = Number.isFinite(seconds) ? seconds * 1000 : undefined
  }
}

/** A failed request to S3. `status` is 0 if there was no response. */
export class SendError extends Error {
  override readonly name = 'SendError'
  readonly status: number
  /** S3's own code, such as `SlowDown`, if its response had one. */
  readonly code: string | undefined

  constructor(status: number, message: string, code?: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** Returns the data of a successful response. @throws ApiProblem if the response is an error */
export function dataOf<Data>(result: { data?: Data; error?: unknown; response: Response }): Data {
  const { data, error, response } = result
  if (response.ok && data !== undefined) return data
  throw new ApiProblem(response, isProblem(error) ? error : undefined)
}

function isProblem(error: unknown): error is Problem {
  return typeof error === 'object' && error !== null && 'code' in error && 'detail' in error
}
