/**
 * - `refused`: the route's `middleware` threw `UploadRefused`; the message is its text
 * - `file_too_large`, `too_many_files`: the files exceed the route's limits
 * - `route_unknown`, `request_invalid`, `input_invalid`: the request does not fit the backend's routes
 * - `cross_site`: the page's origin is not in `allowedOrigins`
 * - `body_read`: the backend's framework has read the request's body before; its developer must mount the handler otherwise
 * - `signature_invalid`: a webhook's request is not signed by Millrace
 * - `unavailable`: Millrace's API does not answer at the moment
 * - `failed`: the backend's code threw an error
 * - `unknown`: the response is none of the handler's, for example an error page of a proxy
 */
export type RouteErrorCode =
  | 'refused'
  | 'file_too_large'
  | 'too_many_files'
  | 'route_unknown'
  | 'request_invalid'
  | 'input_invalid'
  | 'cross_site'
  | 'body_read'
  | 'signature_invalid'
  | 'unavailable'
  | 'failed'
  | 'unknown'

/** The body of an error response of the handler (RFC 9457). */
export type RouteProblem = { status: number; code: RouteErrorCode; detail: string }

/** An error response of the app's backend. `message` can be shown to the user if the code is `refused`. */
export class RouteError extends Error {
  override readonly name = 'RouteError'
  readonly status: number
  readonly code: RouteErrorCode

  constructor({ status, code, detail }: RouteProblem) {
    super(detail)
    this.status = status
    this.code = code
  }
}
