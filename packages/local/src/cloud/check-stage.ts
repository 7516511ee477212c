import { HeadBucketCommand } from '@aws-sdk/client-s3'
import { GetQueueAttributesCommand } from '@aws-sdk/client-sqs'
import { connectS3, connectSqs } from '@millrace/shared/connections/connections.ts'
import { StartError } from '../setup/start-error.ts'

/** Names of the SDK's errors if there are no credentials, or none that still work. */
const missingNames = ['CredentialsProviderError', 'ProviderError', 'TokenProviderError']
/** Codes of AWS for credentials that have ended. */
const endedNames = ['ExpiredToken', 'ExpiredTokenException', 'RequestExpired', 'InvalidToken']
const signIn = 'sign in, for example with `aws sso login`, then start `npx sst dev` with the same AWS_PROFILE'

/**
 * Checks that the developer's credentials reach the bucket and the queue of a stage.
 *
 * @throws StartError with a sentence that says what is missing
 */
export async function checkStage({ bucket, queueUrl }: { bucket: string; queueUrl: string }): Promise<void> {
  const [s3, sqs] = [connectS3(), connectSqs()]
  const names = ['QueueArn' as const]
  try {
    await checkAccess(`the bucket ${bucket}`, () => s3.send(new HeadBucketCommand({ Bucket: bucket })))
    await checkAccess(`the queue ${queueUrl}`, () =>
      sqs.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: names })),
    )
  } finally {
    s3.destroy()
    sqs.destroy()
  }
}

/** @param what names the resource in the error */
async function checkAccess(what: string, send: () => Promise<unknown>): Promise<void> {
  try {
    await send()
  } catch (error) {
    throw new StartError(problemOf(what, error))
  }
}

function problemOf(what: string, error: unknown): string {
  const { name, message } = error instanceof Error ? error : new Error(String(error))
  const status = statusOf(error)
  const reason = message.replace(/\.$/, '')
  if (missingNames.includes(name)) return `There are no AWS credentials (${reason}): ${signIn}.`
  if (endedNames.includes(name)) return `The AWS credentials have ended: ${signIn}.`
  if (status === 401 || status === 403)
    return `AWS refuses these credentials for ${what}: use those of the account that \`sst dev\` created it in.`
  if (status === 404 || name === 'QueueDoesNotExist')
    return `There is no such thing as ${what}: wait until \`sst dev\` has created it, then start this command again.`
  return `AWS does not respond for ${what}: ${reason}.`
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null || !('$metadata' in error)) return undefined
  const { $metadata: metadata } = error
  if (typeof metadata !== 'object' || metadata === null || !('httpStatusCode' in metadata)) return undefined
  return typeof metadata.httpStatusCode === 'number' ? metadata.httpStatusCode : undefined
}
