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
import type { FindTemporaryCredentials } from '@millrace/local-s3/signing/signature-v4.ts'
import { editsPrefix, erasuresPrefix, originalsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import { readLocalSecrets } from '../setup/local-secrets.ts'
import { listenOnPersistentPort } from './persistent-port.ts'
import { resendArrivalEvents } from './resend-arrival-events.ts'
import { startSqsServer } from './sqs-server.ts'

const region = 'us-east-1'
const bucket = 'millrace'

export type LocalCloud = Awaited<ReturnType<typeof startLocalCloud>>

/**
 * Starts the AWS services that Millrace uses: S3 with the bucket, its CORS rules and its notifications, and SQS
 * with the queue that receives them. Everything is configured through the AWS SDK.
 * @param options.directory stores the objects, and the credentials, which are created the first time
 * @param options.credentials used instead of stored ones
 * @param options.host the address to listen on; 127.0.0.1 by default
 * @param options.s3Port by default the port of the last start if it is free
 * @param options.sqsPort 0 (the default) for any free port
 * @param options.redisUrl only passed on in `environment`; this function does not start Redis
 * @param options.acceptsReplicas lets a test imitate S3's replication (`local-s3/src/storage/replica.ts`)
 * @param options.temporaryCredentials lets a test use credentials that end, as those of a role do
 * @param options.origins origins of pages that may call the bucket from a browser
 * @param options.allowedOrigins the same for pages of other origins than the API's; a `*` stands for any text
 * @returns the environment variables that connect a service to this cloud, and `close()`
 */
export async function startLocalCloud(options: {
  directory: string
  redisUrl: string
  origins: string[]
  allowedOrigins?: string[]
  credentials?: { accessKeyId: string; secretAccessKey: string }
  host?: string
  s3Port?: number
  sqsPort?: number
  acceptsReplicas?: boolean
  temporaryCredentials?: FindTemporaryCredentials
}) {
  const { directory, acceptsReplicas = false, host = '127.0.0.1', s3Port, sqsPort = 0 } = options
  const { temporaryCredentials } = options
  const { accessKeyId, secretAccessKey } = options.credentials ?? (await readLocalSecrets(directory))
  const identity = { region, credentials: { accessKeyId, secretAccessKey } }
  const closers: (() => void | Promise<void>)[] = []
  const close = async () => {
    for (const closePart of closers.splice(0).reverse()) await closePart()
  }
  try {
    const queue = await startSqsServer(identity, { host, port: sqsPort })
    closers.push(queue.close)
    const sqs = new SQSClient({ endpoint: queue.endpoint, ...identity })
    closers.push(() => sqs.destroy())
    const deliver = async (queueArn: string, body: string) => {
      if (queueArn !== queue.eventsQueueArn) throw new Error(`Unknown queue: ${queueArn}.`)
      await sqs.send(new SendMessageCommand({ QueueUrl: queue.eventsQueueUrl, MessageBody: body }))
    }
    const listen = (port: number) =>
      createS3Server({
        directory: join(directory, 's3'),
        host,
        port,
        ...identity,
        deliver,
        acceptsReplicas,
        temporaryCredentials,
      })
    const storage = await (s3Port === undefined
      ? listenOnPersistentPort(directory, 's3', listen)
      : listen(s3Port))
    closers.push(storage.close)
    const s3 = new S3Client({ endpoint: storage.endpoint, ...identity })
    closers.push(() => s3.destroy())

    const { origins, allowedOrigins = [] } = options
    await setUpBucket(s3, { origins, allowedOrigins, eventsQueueArn: queue.eventsQueueArn })
    await resendArrivalEvents({ s3, bucket, sendEvent: (body) => deliver(queue.eventsQueueArn, body) })
    return {
      environment: {
        AWS_REGION: region,
        AWS_ACCESS_KEY_ID: accessKeyId,
        AWS_SECRET_ACCESS_KEY: secretAccessKey,
        AWS_ENDPOINT_URL_S3: storage.endpoint,
        AWS_ENDPOINT_URL_SQS: queue.endpoint,
        BUCKET: bucket,
        EVENTS_QUEUE_URL: queue.eventsQueueUrl,
        DEAD_LETTER_QUEUE_URL: queue.deadLetterQueueUrl,
        REDIS_URL: options.redisUrl,
      },
      close,
    }
  } catch (error) {
    await close()
    throw error
  }
}

/** Configures the bucket in the same way as stacks/ configures the bucket on AWS. */
async function setUpBucket(
  s3: S3Client,
  options: { origins: string[]; allowedOrigins: string[]; eventsQueueArn: string },
) {
  const { origins, allowedOrigins } = options
  try {
    await s3.send(new CreateBucketCommand({ Bucket: bucket }))
  } catch (error) {
    const exists = error instanceof S3ServiceException && error.name === 'BucketAlreadyOwnedByYou'
    if (!exists) throw error
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
            AllowedOrigins: [...origins, ...allowedOrigins],
            AllowedMethods: ['GET', 'HEAD', 'PUT', 'POST'],
            AllowedHeaders: ['*'],
            // Uppy 5 logs a warning if it cannot read `Location` in the response to a form.
            ExposeHeaders: ['ETag', 'Location'],
            MaxAgeSeconds: 3_600,
          },
          // A page of another origin gets here by a redirect of the API. Browsers then send `Origin: null` (Fetch
          // Standard, "redirect-tainted origin"). Nobody reads anything without a signed URL.
          ...(allowedOrigins.length > 0
            ? [
                {
                  AllowedOrigins: ['null'],
                  AllowedMethods: ['GET', 'HEAD'],
                  AllowedHeaders: ['*'],
                  ExposeHeaders: ['ETag'],
                  MaxAgeSeconds: 3_600,
                },
              ]
            : []),
        ],
      },
    }),
  )
  await s3.send(
    new PutBucketNotificationConfigurationCommand({
      Bucket: bucket,
      NotificationConfiguration: {
        QueueConfigurations: [
          ...[originalsPrefix, erasuresPrefix, editsPrefix].map((prefix) => ({
            Id: prefix.replace('/', ''),
            QueueArn: options.eventsQueueArn,
            Events: ['s3:ObjectCreated:*' as const],
            Filter: { Key: { FilterRules: [{ Name: 'prefix' as const, Value: prefix }] } },
          })),
        ],
      },
    }),
  )
}
