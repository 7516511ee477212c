/** A file as a page declares it to the app's backend before it sends it. */
export type DeclaredFile = {
  filename: string
  /** As the browser knows it; empty if it knows none. The type that counts is detected from the bytes later. */
  contentType: string
  /** Bytes. */
  size: number
}

/** What a page asks the app's backend for: `POST {endpoint}?route={name}`. */
export type GrantRequest = {
  /** At least one. */
  files: readonly DeclaredFile[]
  /** The files are announced already: the token is only for going on with them. */
  renew?: boolean
  /** What the route's `input` describes. */
  input?: unknown
}

/** Limits of a route. What is absent is not limited. */
export type RouteLimits = {
  /** Media types such as `image/png`, or all of a kind such as `image/*`. */
  accept?: readonly string[]
  /** Size of each file, in bytes. */
  maxFileBytes?: number
  /** Number of files of one request. */
  maxFiles?: number
}

/** What the app's backend answers: the permission to send the declared files to Millrace. */
export type UploadGrant = {
  /** An upload token of the user that the route's `middleware` named. */
  token: string
  /** ISO 8601. */
  expiresAt: string
  /** Where the page reaches Millrace's API. */
  origin: string
  preset?: string
  limits: RouteLimits
}
