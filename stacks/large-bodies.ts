/**
 * As much as WAF reads of a body on its way to a load balancer, in bytes, and what its rule `SizeRestrictions_BODY`
 * refuses to see more of. Neither can be set (AWS, "Considerations for managing body inspection in AWS WAF").
 */
export const inspectedBodyBytes = 8 * 1024

/**
 * Where bodies are larger than that, or hold what nobody can foresee. The API has limits of its own for each.
 * `tests/api/openapi/openapi.test.ts` compares this with its routes.
 */
const paths = [
  // Announcements: names and notes as people write them, and addresses to import from of up to 8 KiB.
  'uploads',
  'uppy/s3/multipart',
  // Lists of up to 10,000 parts.
  'uploads/[^/]+/complete',
  'uppy/s3/multipart/[^/]+/complete',
  // Files.
  'upload',
  'tus',
  'tus/[^/]+',
]

/** The same as a regular expression without captures, which WAF has not. It may have 512 characters. */
export const largeBodies = `^/(?:${paths.join('|')})/?$`
