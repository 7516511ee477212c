/**
 * How much of a body WAF reads in front of a load balancer, in bytes. Its rule `SizeRestrictions_BODY` blocks larger
 * bodies. Neither can be set (AWS, "Considerations for managing body inspection in AWS WAF").
 */
export const inspectedBodyBytes = 8 * 1024

/**
 * Paths whose bodies are larger, or hold any bytes. The API has its own limit for each of them.
 * `tests/api/openapi/openapi.test.ts` compares this list with the API's routes.
 */
const paths = [
  // Announcements: file names and metadata, and source URLs of imports with up to 8 KiB. Tokens have metadata, too.
  'uploads',
  'tokens',
  'uppy/s3/multipart',
  // Changes of metadata, and lists of up to 1,000 ids (uploads/reprocess, uploads/delete).
  'uploads/[^/]+',
  // Lists of up to 10,000 parts.
  'uploads/[^/]+/complete',
  'uppy/s3/multipart/[^/]+/complete',
  // URLs, escaped.
  'webhooks(?:/[^/]+)?',
  // Files. PUT has a file name in the path.
  'upload',
  'upload(?:/[^/]+)+',
  'tus',
  'tus/[^/]+',
]

/** The paths as one regular expression. WAF has no capturing groups and allows 512 characters. */
export const largeBodies = `^/(?:${paths.join('|')})/?$`
