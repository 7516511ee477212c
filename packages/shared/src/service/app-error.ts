/**
 * Every failure that Millrace names, in one place.
 *
 * `retryable` is part of what a code means, not of where it is thrown: a retryable error may go away by
 * itself (the worker tries the job again, a client may repeat the request), any other one is final.
 * Nothing here knows of HTTP: the API keeps its own table from codes to statuses.
 */
export const errorCatalogue = {
  // What a caller asked for
  invalid_request: { retryable: false, message: 'The request is not in the expected form.' },
  body_too_large: { retryable: false, message: 'The request body is larger than this route takes.' },
  unsupported_media_type: { retryable: false, message: 'This route does not take that kind of body.' },
  unauthenticated: { retryable: false, message: 'The API key is not known, or there is none.' },
  forbidden: { retryable: false, message: 'The API key does not allow this.' },
  cross_site: { retryable: false, message: 'A page of another site may not do this with your session.' },
  rate_limited: { retryable: true, message: 'There were too many requests in a short time.' },
  request_timeout: { retryable: true, message: 'The request came too slowly.' },
  headers_too_large: { retryable: false, message: 'The headers of the request are too large.' },
  not_found: { retryable: false, message: 'There is nothing at this address.' },
  upload_not_found: { retryable: false, message: 'There is no upload with this id.' },
  variant_not_found: { retryable: false, message: 'This upload has no variant of that name.' },
  preset_unknown: { retryable: false, message: 'There is no preset of that name.' },
  upload_too_large: { retryable: false, message: 'The file is larger than the limit.' },
  quota_exceeded: { retryable: true, message: 'The file does not fit into what is left of the quota.' },
  quota_exhausted_today: { retryable: true, message: 'The quota of today is used up.' },
  upload_not_ready: {
    retryable: false,
    message: 'The upload has not passed inspection, so no byte of it is served.',
  },
  upload_not_multipart: { retryable: false, message: 'This upload is not sent in parts.' },
  upload_closed: { retryable: false, message: 'The upload has already been received.' },
  parts_mismatch: { retryable: false, message: 'The parts do not add up to the announced file.' },
  idempotency_key_reused: { retryable: false, message: 'The Idempotency-Key was that of another request.' },
  idempotency_key_in_use: {
    retryable: true,
    message: 'The first request with this Idempotency-Key is still under way.',
  },
  // What only tus asks
  tus_version_unsupported: { retryable: false, message: 'This is tus 1.0.0: say so in Tus-Resumable.' },
  upload_offset_mismatch: {
    retryable: true,
    message: 'The bytes do not begin where those that are here end.',
  },
  upload_expired: { retryable: false, message: 'The rest of the upload did not come in time.' },
  upload_locked: {
    retryable: true,
    message: 'Another request is sending bytes of this upload at this moment.',
  },
  chunk_checksum_mismatch: {
    retryable: true,
    message: 'The bytes of the request do not have the checksum that it names.',
  },
  // What a file turned out to be: the upload ends as `rejected`
  image_corrupt: {
    retryable: false,
    message: 'The image is damaged or incomplete and cannot be read to its end.',
  },
  image_too_many_pixels: { retryable: false, message: 'The image has more pixels than the limit.' },
  image_too_large: { retryable: false, message: 'The image file is larger than the limit for images.' },
  size_mismatch: {
    retryable: false,
    message: 'The file that arrived is not of the size that was announced.',
  },
  checksum_mismatch: {
    retryable: false,
    message: 'The file that arrived does not have the SHA-256 that was announced.',
  },
  type_not_allowed: { retryable: false, message: 'The file is of a type that its preset does not accept.' },
  // What a source of an import turned out to be: the upload ends as `rejected`, or as `failed` where trying
  // again may help. None of these says more of an address that is not public than of one that does not exist.
  source_refused: {
    retryable: false,
    message: 'Files are fetched from public web addresses only. This one is not public, or does not exist.',
  },
  source_not_found: { retryable: false, message: 'The source has no file at this address.' },
  source_unusable: { retryable: false, message: 'The source answered with something else than the file.' },
  source_too_slow: { retryable: false, message: 'The source sent the file too slowly.' },
  source_unavailable: { retryable: true, message: 'The source did not answer, or broke off.' },
  // What went wrong on our side
  processing_failed: { retryable: true, message: 'The file could not be processed. It can be tried again.' },
  dependency_unavailable: { retryable: true, message: 'A service that this depends on does not answer.' },
  overloaded: { retryable: true, message: 'This instance has more to do than it can.' },
  draining: { retryable: true, message: 'This instance is shutting down.' },
  conflict: { retryable: true, message: 'The upload is being changed by something else at this moment.' },
  internal: { retryable: true, message: 'Something went wrong on our side.' },
} as const satisfies Record<string, { retryable: boolean; message: string }>

export type ErrorCode = keyof typeof errorCatalogue

/** One field of a request that is out of shape. `field` is a JSON pointer or a parameter's name. */
export type FieldError = { field: string; message: string }

export type ErrorDetails = {
  /** Replaces the catalogue's sentence by a more telling one. */
  message?: string
  cause?: unknown
  fields?: FieldError[]
  /** The limit that was passed, in the unit of what was limited (bytes, files, pixels). */
  limit?: number
  /** What is left of the limit, in the same unit. */
  remaining?: number
  /** When trying again makes sense, in seconds from now. */
  retryAfterSeconds?: number
}

/** An error with a code out of the catalogue. Branch on `code` and `retryable`, never on the message. */
export class AppError extends Error {
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly fields: FieldError[] | undefined
  readonly limit: number | undefined
  readonly remaining: number | undefined
  readonly retryAfterSeconds: number | undefined

  constructor(code: ErrorCode, details: ErrorDetails = {}) {
    super(details.message ?? errorCatalogue[code].message, { cause: details.cause })
    this.name = 'AppError'
    this.code = code
    this.retryable = errorCatalogue[code].retryable
    this.fields = details.fields
    this.limit = details.limit
    this.remaining = details.remaining
    this.retryAfterSeconds = details.retryAfterSeconds
  }
}
