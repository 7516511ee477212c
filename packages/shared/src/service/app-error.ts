/**
 * All error codes of Millrace.
 *
 * `retryable` belongs to the code, not to the place that throws it. A retryable error may go away: the worker retries the
 * job, and a client may repeat the request. Any other error is final. The catalogue is independent of HTTP; the API maps
 * codes to statuses.
 */
export const errorCatalogue = {
  // Errors of a request
  invalid_request: { retryable: false, message: 'The request does not match the schema.' },
  body_too_large: { retryable: false, message: 'The request body is larger than this route allows.' },
  unsupported_media_type: { retryable: false, message: 'This route does not accept this content type.' },
  unauthenticated: { retryable: false, message: 'The API key is unknown or missing.' },
  token_invalid: { retryable: false, message: 'The token is not valid.' },
  token_expired: { retryable: false, message: 'The token has expired.' },
  token_revoked: { retryable: false, message: 'The token was revoked.' },
  identity_provider_unavailable: {
    retryable: true,
    message: 'The keys of the identity provider cannot be fetched.',
  },
  forbidden: { retryable: false, message: 'The API key does not have the required scope.' },
  token_limit: { retryable: false, message: 'The upload token does not allow this.' },
  token_used_up: { retryable: false, message: 'The upload token has no more files or bytes left.' },
  cross_site: {
    retryable: false,
    message: 'Cross-site request refused: the page has another origin than this API.',
  },
  host_unknown: { retryable: false, message: 'This server does not serve this host name.' },
  rate_limited: { retryable: true, message: 'Too many requests.' },
  request_timeout: { retryable: true, message: 'The request was sent too slowly.' },
  headers_too_large: { retryable: false, message: 'The request headers are too large.' },
  not_found: { retryable: false, message: 'No such route.' },
  upload_not_found: { retryable: false, message: 'No upload with this id.' },
  erasure_not_found: { retryable: false, message: 'No erasure of a user with this id.' },
  user_not_found: { retryable: false, message: 'No user with this id.' },
  key_not_found: { retryable: false, message: 'No API key with this id.' },
  token_not_found: { retryable: false, message: 'No upload token with this id.' },
  webhook_not_found: { retryable: false, message: 'No webhook with this id.' },
  delivery_not_found: { retryable: false, message: 'No delivery with this id.' },
  webhook_url_refused: { retryable: false, message: 'Webhooks are not sent to this URL.' },
  too_many_keys: { retryable: false, message: 'The tenant has as many API keys as it may have.' },
  too_many_webhooks: { retryable: false, message: 'The tenant has as many webhooks as it may have.' },
  variant_not_found: { retryable: false, message: 'The upload has no variant with this name.' },
  preset_unknown: { retryable: false, message: 'No preset with this name.' },
  upload_too_large: { retryable: false, message: 'The file is larger than the limit.' },
  too_many_uploads: { retryable: true, message: 'Too many files are being sent at once.' },
  too_many_streams: { retryable: true, message: 'Too many event streams are open.' },
  too_many_unfinished_uploads: {
    retryable: true,
    message: 'Too many uploads were announced whose files have not arrived yet.',
  },
  too_many_sessions: { retryable: true, message: 'Too many new sessions.' },
  quota_exceeded: { retryable: true, message: 'The file exceeds the remaining quota.' },
  quota_exhausted_today: { retryable: true, message: "Today's quota is used up." },
  upload_not_ready: {
    retryable: false,
    message: 'The upload has not passed inspection, so nothing of it is served.',
  },
  upload_not_multipart: { retryable: false, message: 'The upload is not a multipart upload.' },
  upload_closed: { retryable: false, message: 'The upload was already received.' },
  upload_not_finished: {
    retryable: true,
    message: 'The upload is not finished yet, so it cannot be processed again.',
  },
  original_missing: {
    retryable: false,
    message: 'S3 has no bytes of this upload, so it cannot be processed again.',
  },
  parts_mismatch: { retryable: false, message: 'The parts do not match the announced file.' },
  idempotency_key_reused: {
    retryable: false,
    message: 'The Idempotency-Key was used for a different request.',
  },
  idempotency_key_in_use: {
    retryable: true,
    message: 'The first request with this Idempotency-Key is still running.',
  },
  // Errors of tus only
  tus_version_unsupported: {
    retryable: false,
    message: 'Unsupported tus version: send Tus-Resumable: 1.0.0.',
  },
  upload_offset_mismatch: {
    retryable: true,
    message: "Upload-Offset does not match the upload's current offset.",
  },
  upload_expired: { retryable: false, message: 'The upload expired before all bytes arrived.' },
  upload_locked: {
    retryable: true,
    message: 'Another request is writing to this upload.',
  },
  chunk_checksum_mismatch: {
    retryable: true,
    message: 'The request body does not match its checksum.',
  },
  // Errors of a file: the upload finishes as `rejected`
  image_corrupt: {
    retryable: false,
    message: 'The image is damaged or incomplete.',
  },
  image_too_many_pixels: { retryable: false, message: 'The image has more pixels than the limit.' },
  image_too_large: { retryable: false, message: 'The image file is larger than the limit for images.' },
  image_too_complex: {
    retryable: false,
    message: 'The image has more scans, frames, pages or chunks than the limit.',
  },
  image_not_supported: {
    retryable: false,
    message: 'The image is of a kind that is not rendered. It is not damaged.',
  },
  malware_found: { retryable: false, message: 'The virus scanner found malware in the file.' },
  too_large_to_scan: {
    retryable: false,
    message: 'The file is too large for the virus scanner, so it is not served.',
  },
  inspection_refused: { retryable: false, message: 'The inspector of this service refused the file.' },
  poison_file: {
    retryable: false,
    message: 'The image makes its decoder crash, or takes too much time or memory.',
  },
  size_mismatch: {
    retryable: false,
    message: "The file's size differs from the announced size.",
  },
  checksum_mismatch: {
    retryable: false,
    message: "The file's SHA-256 differs from the announced one.",
  },
  type_not_allowed: {
    retryable: false,
    message: 'The preset or the upload token does not accept this file type.',
  },
  // Errors of an import's source: the upload finishes as `rejected`, or as `failed` if a retry may help. The messages do
  // not distinguish an address that is not public from one that does not exist.
  source_refused: {
    retryable: false,
    message: 'Files are imported from public addresses only. This address is not public or does not exist.',
  },
  source_not_found: { retryable: false, message: 'The source has no file at this URL.' },
  source_unusable: { retryable: false, message: "The source's response does not contain the file." },
  source_too_slow: { retryable: false, message: 'The source sent the file too slowly.' },
  source_unavailable: { retryable: true, message: 'The source did not respond or closed the connection.' },
  // Errors of Millrace itself
  processing_failed: {
    retryable: true,
    message: 'The file could not be processed. Processing can be retried.',
  },
  scan_unavailable: {
    retryable: true,
    message: 'The virus scanner or the inspector does not respond, so the file is not served yet.',
  },
  not_configured: { retryable: false, message: 'This server is not configured for this request.' },
  dependency_unavailable: { retryable: true, message: 'A required service does not respond.' },
  unreadable_record: {
    retryable: true,
    message: 'Another version of Millrace stored this in a form that this instance cannot read.',
  },
  storage_busy: {
    retryable: true,
    message: 'No new uploads are accepted at the moment: Redis is almost full.',
  },
  storage_full: { retryable: true, message: 'The storage has no space left.' },
  overloaded: { retryable: true, message: 'This instance is overloaded.' },
  draining: { retryable: true, message: 'This instance is shutting down.' },
  conflict: { retryable: true, message: 'The upload is being changed by another process.' },
  internal: { retryable: true, message: 'Internal error.' },
} as const satisfies Record<string, { retryable: boolean; message: string }>

export type ErrorCode = keyof typeof errorCatalogue

/** One invalid field of a request. `field` is a path in the body or a parameter's name. */
export type FieldError = { field: string; message: string }

export type ErrorDetails = {
  /** Replaces the catalogue's message by a more specific one. */
  message?: string
  cause?: unknown
  fields?: FieldError[]
  /** The exceeded limit, in its own unit (bytes, files, pixels). */
  limit?: number
  /** The remainder of the limit, in the same unit. */
  remaining?: number
  /** When a retry makes sense, in seconds from now. */
  retryAfterSeconds?: number
}

/** An error with a code from the catalogue. Branch on `code` and `retryable`, never on the message. */
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
