import { join } from 'node:path'
import {
  CreateBucketCommand,
  PutBucketCorsCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { createS3Server } from '@millrace/local-s3/s3-server.ts'
import { originalsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import { readLocalSecrets } from '../setup/local-secrets.ts'
import { listenOnPersistentPort } from './persistent-port.ts'
import { resendArrivalEvents } from './resend-arrival-events.ts'
import { startSqsServer } from './sqs-server.ts'

const region = 'us-east-1'
const bucket = 'millrace'

export type LocalCloud = Awaited<ReturnType<typeof startLocalCloud>>

/**
 * Starts what AWS is to the services: S3 with the bucket, its CORS and its notifications, and SQS with the
 * queue that they go to. All of it on free loopback ports unless told otherwise, and all of it set up through the
 * AWS SDK.
 * @param options.directory keeps the objects, and the credentials that are made the first time
 * @param options.credentials to be used instead
 * @param options.host what to listen on; nothing beyond loopback unless asked
 * @param options.redisUrl handed on to the services; this does not start Redis
 * @param options.takesCopies lets a test do what S3's replication does (`local-s3/src/storage/object-copy.ts`)
 * @param options.origins origins of pages that may talk to the bucket from a browser
 * @returns the environment variables that point a service here, and `close()`
 */
export async function startLocalCloud(options: {
  directory: string
  redisUrl: string
  origins: string[]
  credentials?: { accessKeyId: string; secretAccessKey: string }
  host?: string
  s3Port?: number
  sqsPort?: number
  takesCopies?: boolean
}) {
  const { directory, takesCopies = false, host = '127.0.0.1', s3Port, sqsPort = 0 } = options
  const { accessKeyId, secretAccessKey } = options.credentials ?? (await readLocalSecrets(directory))
  const identity = { region, credentials: { accessKeyId, secretAccessKey } }
  const opened: (() => void | Promise<void>)[] = []
  const close = async () => {
    for (const closeOne of opened.splice(0).reverse()) await closeOne()
  }
  try {
    const queue = await startSqsServer(identity, { host, port: sqsPort })
    opened.push(queue.close)
    const sqs = new SQSClient({ endpoint: queue.endpoint, ...identity })
    opened.push(() => sqs.destroy())
    const deliver = async (queueArn: string, body: string) => {
      if (queueArn !== queue.eventsQueueArn) throw new Error(`There is no queue ${queueArn}.`)
      await sqs.send(new SendMessageCommand({ QueueUrl: queue.eventsQueueUrl, MessageBody: body }))
    }
    const listen = (port: number) =>
      createS3Server({ directory: join(directory, 's3'), host, port, ...identity, deliver, takesCopies })
    const storage = await (s3Port === undefined
      ? listenOnPersistentPort(directory, 's3', listen)
      : listen(s3Port))
    opened.push(storage.close)
    const s3 = new S3Client({ endpoint: storage.endpoint, ...identity })
    opened.push(() => s3.destroy())

    await setUpBucket(s3, { origins: options.origins, eventsQueueArn: queue.eventsQueueArn })
    await resendArrivalEvents({ s3, bucket, announce: (body) => deliver(queue.eventsQueueArn, body) })
    return {
      environment: {
        AWS_REGION: region,
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
        AWS_ENDPOINT_URL_S3: storage.endpoint,
        AWS_ENDPOINT_URL_SQS: queue.endpoint,
        BUCKET: bucket,
        EVENTS_QUEUE_URL: queue.eventsQueueUrl,
        REDIS_URL: options.redisUrl,
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Does to the bucket what the cloud's stack does to the real one. */
async function setUpBucket(s3: S3Client, options: { origins: string[]; eventsQueueArn: string }) {
  try {
    await s3.send(new CreateBucketCommand({ Bucket: bucket }))
  } catch (error) {
    const kept = error instanceof S3ServiceException && error.name === 'BucketAlreadyOwnedByYou'
    if (!kept) throw error
  }
  await s3.send(
    new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
  )
  await s3.send(
    new PutBucketCorsCommand({
      Bucket: bucket,
      CORSConfiguration: {
        CORSRules: [
          {
            AllowedOrigins: options.origins,
            AllowedMethods: ['GET', 'HEAD', 'PUT', 'POST'],
            AllowedHeaders: ['*'],
            // Uppy 5 complains of a form whose `Location` it cannot read.
            ExposeHeaders: ['ETag', 'Location'],
          },
        ],
      },
    }),
  )
  await s3.send(
    new PutBucketNotificationConfigurationCommand({
      Bucket: bucket,
      NotificationConfiguration: {
        QueueConfigurations: [
          {
            Id: 'arrivals',
            QueueArn: options.eventsQueueArn,
            Events: ['s3:ObjectCreated:*'],
            Filter: { Key: { FilterRules: [{ Name: 'prefix', Value: originalsPrefix }] } },
          },
        ],
      },
    }),
  )
}
