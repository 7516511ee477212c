import { SendError } from '../api/millrace-error.ts'

/** S3 returns it if a signature has expired, was made too long ago, or is not valid yet. */
const forbiddenStatus = 403
/**
 * S3 returns these with status 400 if the credentials that signed have ended before the signature: those of a role last for
 * hours only (https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html).
 */
const endedCredentials: ReadonlySet<string | undefined> = new Set([
  'ExpiredToken',
  'InvalidToken',
  'TokenRefreshRequired',
])

/** How often one request gets a fresh signature. If S3 still refuses it then, it fails. */
export const maxRenewals = 2

/** Whether S3 may accept the same request with a fresh signature. */
export function needsSignature(error: unknown): boolean {
  if (!(error instanceof SendError)) return false
  return error.status === forbiddenStatus || endedCredentials.has(error.code)
}

/** Whether S3 does not have the multipart upload any more: it was completed, aborted, or has expired. */
export function isMultipartGone(error: unknown): boolean {
  return error instanceof SendError && error.code === 'NoSuchUpload'
}

/** S3's response to a PUT that it accepts only once: it has the file. */
export function isAlreadyStored(error: unknown): boolean {
  return error instanceof SendError && error.status === 412
}

/** S3's response to a PUT that it accepts only once: it is storing the same file at this moment. */
export function isBeingStored(error: unknown): boolean {
  return error instanceof SendError && error.status === 409
}
