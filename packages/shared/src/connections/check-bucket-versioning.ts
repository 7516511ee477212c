import { GetBucketVersioningCommand, type S3Client } from '@aws-sdk/client-s3'
import type { Logger } from 'pino'

/** How long the start waits for S3's answer, in ms. */
const defaultTimeoutMs = 5_000

/**
 * Refuses a bucket without versioning. A download names the version that was inspected. Without versions, a file that is
 * sent while its form is valid would replace the inspected bytes and be served under their URL, and bytes that were
 * replaced could not be restored.
 *
 * If S3 does not answer, or denies the question, this only logs a warning: a service starts without S3 and waits for it,
 * and a role of an earlier deployment lacks the permission.
 *
 * @param deps.timeoutMs how long to wait for S3's answer, in ms
 * @throws Error that says what to change
 */
export async function checkBucketVersioning(deps: {
  s3: S3Client
  bucket: string
  log: Pick<Logger, 'warn'>
  timeoutMs?: number
}): Promise<void> {
  const { s3, bucket, log, timeoutMs = defaultTimeoutMs } = deps
  let status: string | undefined
  try {
    const abortSignal = AbortSignal.timeout(timeoutMs)
    const response = await s3.send(new GetBucketVersioningCommand({ Bucket: bucket }), { abortSignal })
    status = response.Status
  } catch (error) {
    log.warn(
      { err: error, event: 'bucket-versioning-unknown' },
      "the bucket's versioning cannot be read (s3:GetBucketVersioning); it must be enabled",
    )
    return
  }
  if (status === 'Enabled') return
  throw new Error(
    `The bucket of BUCKET has no versioning: its status is "${status ?? 'never enabled'}". ` +
      'Bytes that were not inspected could be served. Enable versioning of the bucket (`aws s3api put-bucket-versioning ' +
      '--bucket … --versioning-configuration Status=Enabled`), and start again.',
  )
}
