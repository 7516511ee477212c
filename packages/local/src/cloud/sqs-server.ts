import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  type QueueAttributeName,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { buildApp } from 'fauxqs'
import { returnUnreceivedMessages } from './return-unreceived-messages.ts'

const eventsQueue = 'millrace-events'
const deadLetterQueue = 'millrace-events-dead'
/** How long a message stays hidden from others while one worker has it. */
const visibilitySeconds = 60
/** A message that was received this often without being deleted is set aside. */
const maxReceives = 5

export type AwsIdentity = {
  region: string
  credentials: { accessKeyId: string; secretAccessKey: string }
}

export type SqsServer = Awaited<ReturnType<typeof startSqsServer>>

/**
 * Starts SQS, on a free loopback port unless told otherwise, with the queue for S3's events and its dead-letter queue.
 * Messages live in memory only: what a stop forgets, `resendArrivalEvents` says again.
 * @param options.host what to listen on; nothing beyond loopback unless asked
 * @param options.port 0 for any free one
 * @returns the endpoint, the events queue's URL and ARN, and `close()`, which ends long polls at once
 */
export async function startSqsServer(identity: AwsIdentity, options: { host?: string; port?: number } = {}) {
  const { host = '127.0.0.1', port = 0 } = options
  const app = buildApp({ logger: false, defaultRegion: identity.region })
  returnUnreceivedMessages(app)
  const endpoint = await app.listen({ host, port })
  const client = new SQSClient({ endpoint, ...identity })
  const createQueue = async (name: string, attributes: Partial<Record<QueueAttributeName, string>>) => {
    const { QueueUrl: url } = await client.send(
      new CreateQueueCommand({ QueueName: name, Attributes: attributes }),
    )
    const { Attributes: found } = await client.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn'] }),
    )
    if (url === undefined || found?.QueueArn === undefined) throw new Error(`SQS made no queue ${name}.`)
    // fauxqs names hosts below localhost, which not every resolver knows; only the path counts.
    return { url: new URL(new URL(url).pathname, endpoint).href, arn: found.QueueArn }
  }
  try {
    const dead = await createQueue(deadLetterQueue, {})
    const events = await createQueue(eventsQueue, {
      VisibilityTimeout: String(visibilitySeconds),
      ReceiveMessageWaitTimeSeconds: '20',
      RedrivePolicy: JSON.stringify({ deadLetterTargetArn: dead.arn, maxReceiveCount: maxReceives }),
    })
    return {
      endpoint,
      eventsQueueUrl: events.url,
      eventsQueueArn: events.arn,
      deadLetterQueueUrl: dead.url,
      async close() {
        await app.close()
      },
    }
  } catch (error) {
    await app.close()
    throw error
  } finally {
    client.destroy()
  }
}
