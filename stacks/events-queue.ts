import { defaultLeaseMs, maxReceives } from '@millrace/shared/jobs/events-queue.ts'
import {
  editsPrefix,
  erasuresPrefix,
  manifestsPrefix,
  originalsPrefix,
} from '@millrace/shared/ledger/object-keys.ts'
import type { EncryptionKey } from './encryption-key.ts'
import type { Place } from './place.ts'

/** The longest retention that SQS offers: 14 days. */
const retentionSeconds = 14 * 24 * 60 * 60

/** Creates the queue for S3's events, and its dead-letter queue. */
export function createEventsQueue({ place, key }: { place: Place; key: EncryptionKey }) {
  const encryption = { kmsMasterKeyId: key.arn, kmsDataKeyReusePeriodSeconds: 3_600 }
  const deadLetters = new aws.sqs.Queue(
    place.id('DeadLetters'),
    { name: place.name('dead-letters'), messageRetentionSeconds: retentionSeconds, ...encryption },
    place.options,
  )
  const queue = new aws.sqs.Queue(
    place.id('Events'),
    {
      name: place.name('events'),
      messageRetentionSeconds: retentionSeconds,
      visibilityTimeoutSeconds: defaultLeaseMs / 1000,
      receiveWaitTimeSeconds: 20,
      redrivePolicy: $jsonStringify({ deadLetterTargetArn: deadLetters.arn, maxReceiveCount: maxReceives }),
      ...encryption,
    },
    place.options,
  )
  new aws.sqs.RedriveAllowPolicy(
    place.id('DeadLettersAllow'),
    {
      queueUrl: deadLetters.url,
      redriveAllowPolicy: $jsonStringify({ redrivePermission: 'byQueue', sourceQueueArns: [queue.arn] }),
    },
    place.options,
  )
  return { queue, deadLetters }
}

export type EventsQueue = ReturnType<typeof createEventsQueue>

/** Prefixes that S3 notifies about: arrivals, erasures and edits, and with several regions also manifests of the others. */
const prefixes = { always: [originalsPrefix, erasuresPrefix, editsPrefix], isReplicated: [manifestsPrefix] }

/**
 * Makes S3 send an event for every new original, erasure marker and edit to the queue, and with several regions also for
 * manifests.
 *
 * @returns the notification, which must exist before events of uploads arrive
 */
export function notifyQueue(options: {
  place: Place
  bucket: { arn: $util.Output<string>; name: $util.Output<string> }
  queue: aws.sqs.Queue
  accountId: $util.Input<string>
  isReplicated: boolean
}) {
  const { place, bucket, queue, accountId, isReplicated } = options
  const policy = new aws.sqs.QueuePolicy(
    place.id('EventsPolicy'),
    {
      queueUrl: queue.url,
      policy: $jsonStringify({
        Version: '2012-10-17',
        Statement: [
          {
            Sid: 'ThisBucketOnly',
            Effect: 'Allow',
            Principal: { Service: 's3.amazonaws.com' },
            Action: 'sqs:SendMessage',
            Resource: queue.arn,
            Condition: {
              ArnEquals: { 'aws:SourceArn': bucket.arn },
              StringEquals: { 'aws:SourceAccount': accountId },
            },
          },
          {
            Sid: 'TlsOnly',
            Effect: 'Deny',
            Principal: '*',
            Action: 'sqs:*',
            Resource: queue.arn,
            Condition: { Bool: { 'aws:SecureTransport': 'false' } },
          },
        ],
      }),
    },
    place.options,
  )
  return new aws.s3.BucketNotification(
    place.id('EventsOfOriginals'),
    {
      bucket: bucket.name,
      queues: [...prefixes.always, ...(isReplicated ? prefixes.isReplicated : [])].map((filterPrefix) => ({
        queueArn: queue.arn,
        events: ['s3:ObjectCreated:*'],
        filterPrefix,
      })),
    },
    // S3 sends a test message first, and refuses the notification without this policy.
    { ...place.options, dependsOn: [policy] },
  )
}
