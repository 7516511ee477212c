import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  type QueueAttributeName,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { defaultLeaseMs, maxReceives } from '@millrace/shared/jobs/events-queue.ts'
import { buildApp } from 'fauxqs'
import { requireAccessKey } from './require-access-key.ts'
import { returnUnreceivedMessages } from './return-unreceived-messages.ts'

const eventsQueue = 'millrace-events'
const deadLetterQueue = 'millrace-events-dead'

export type AwsIdentity = {
  region: string
  credentials: { accessKeyId: string; secretAccessKey: string }
}

export type SqsServer = Awaited<ReturnType<typeof startSqsServer>>

/**
 * Starts an SQS server with the queue for S3's events and its dead-letter queue.
 * Only clients with the access key of `identity` can use it. Messages are kept in memory only. `resendArrivalEvents` sends those that a stop has lost.
 * @param options.host the address to listen on; 127.0.0.1 by default
 * @param options.port 0 (the default) for any free port
 * @returns the endpoint, the events queue's URL and ARN, and `close()`, which ends long polls immediately
 */
export async function startSqsServer(identity: AwsIdentity, options: { host?: string; port?: number } = {}) {
  const { host = '127.0.0.1', port = 0 } = options
  const app = buildApp({ logger: false, defaultRegion: identity.region })
  requireAccessKey(app, identity.credentials.accessKeyId)
  returnUnreceivedMessages(app)
  const endpoint = await app.listen({ host, port })
  const client = new SQSClient({ endpoint, ...identity })
  const createQueue = async (name: string, attributes: Partial<Record<QueueAttributeName, string>>) => {
    const { QueueUrl: url } = await client.send(
      new CreateQueueCommand({ QueueName: name, Attributes: attributes }),
    )
    const { Attributes: created } = await client.send(
      new GetQueueAttributesCommand({ QueueUrl: url, AttributeNames: ['QueueArn'] }),
    )
    if (url === undefined || created?.QueueArn === undefined)
      throw new Error(`SQS did not create the queue ${name}.`)
    // fauxqs returns hosts under localhost, which not every resolver can resolve; only the path matters.
    return { url: new URL(new URL(url).pathname, endpoint).href, arn: created.QueueArn }
  }
  try {
    const dead = await createQueue(deadLetterQueue, {})
    const events = await createQueue(eventsQueue, {
      VisibilityTimeout: String(defaultLeaseMs / 1000),
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
