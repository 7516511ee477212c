import type { components } from './api-types.ts'

export type Problem = components['schemas']['Problem']

/** The API said no: `code`, `status` and the sentence are those of its problem+json (RFC 9457). */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem'
  readonly status: number
  /** `unknown` where something between us and the API answered in its own words. */
  readonly code: Problem['code'] | 'unknown'
  readonly problem: Problem | undefined
  /** How long the API asks to wait, in ms. */
  readonly retryAfterMs: number | undefined

  constructor(response: Response, problem: Problem | undefined) {
    super(problem?.detail ?? `The server answered ${response.status}.`)
    this.status = response.status
    this.code = problem?.code ?? 'unknown'
    this.problem = problem
    const seconds = Number(response.headers.get('retry-after') ?? Number.NaN)
    this.retryAfterMs = Number.isFinite(seconds) ? seconds * 1000 : undefined
  }
}

/** A request to S3 that did not succeed. `status` is 0 where there was no answer at all. */
export class SendError extends Error {
  override readonly name = 'SendError'
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.status = status
  }
}

/** @throws ApiProblem where the answer is not a success */
export function dataOf<Data>(answer: { data?: Data; error?: unknown; response: Response }): Data {
  const { data, error, response } = answer
  if (response.ok && data !== undefined) return data
  throw new ApiProblem(response, isProblem(error) ? error : undefined)
}

function isProblem(error: unknown): error is Problem {
  return typeof error === 'object' && error !== null && 'code' in error && 'detail' in error
}
