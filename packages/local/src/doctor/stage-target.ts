import {
  GetQueueAttributesCommand,
  GetQueueUrlCommand,
  QueueDoesNotExist,
  type SQSClient,
} from '@aws-sdk/client-sqs'
import { StartError } from '../setup/start-error.ts'

/** What a stage consists of, as far as it can be found in AWS. */
export type StageTarget = { queueUrl: string; bucket: string }

/**
 * Finds a stage's queue by its name (stacks/place.ts), and its bucket, whose name ends with random letters, by the queue's
 * policy: it allows that bucket alone to send events.
 *
 * @throws StartError if there is no such stage in the account and region
 */
export async function findStage(sqs: SQSClient, stage: string, region: string): Promise<StageTarget> {
  const name = `millrace-${stage}-events`
  let queueUrl: string | undefined
  try {
    queueUrl = (await sqs.send(new GetQueueUrlCommand({ QueueName: name }))).QueueUrl
  } catch (failure) {
    if (!(failure instanceof QueueDoesNotExist)) throw failure
  }
  if (queueUrl === undefined) {
    throw new StartError(
      `There is no stage ${stage} in ${region}: the queue ${name} does not exist. Check --stage, AWS_PROFILE and AWS_REGION.`,
    )
  }
  const command = new GetQueueAttributesCommand({ QueueUrl: queueUrl, AttributeNames: ['Policy'] })
  const policy = (await sqs.send(command)).Attributes?.['Policy'] ?? ''
  const bucket = /arn:aws[a-z-]*:s3:::([a-z0-9.-]+)/.exec(policy)?.[1]
  if (bucket === undefined) {
    throw new StartError(
      `No bucket may send events to the queue ${name}: its policy is gone. Deploy the stage again.`,
    )
  }
  return { queueUrl, bucket }
}
