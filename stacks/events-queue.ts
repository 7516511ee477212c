import { erasedPrefix, manifestsPrefix, originalsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import type { EncryptionKey } from './encryption-key.ts'
import type { Place } from './place.ts'

/** How long a worker has for a message before another one gets it, in seconds: receiving an upload takes one or two. */
const visibilitySeconds = 60
/** A message that failed so often is about something that no worker can deal with. */
const attempts = 10
/** SQS keeps nothing longer: 14 days. */
const longestSeconds = 14 * 24 * 60 * 60

/** S3's events about new originals and what other regions did, and behind it the queue of those that nobody could deal with. */
export function createEventsQueue({ place, key }: { place: Place; key: EncryptionKey }) {
  const encryption = { kmsMasterKeyId: key.arn, kmsDataKeyReusePeriodSeconds: 3_600 }
  const deadLetters = new aws.sqs.Queue(
    place.id('DeadLetters'),
    { name: place.name('dead-letters'), messageRetentionSeconds: longestSeconds, ...encryption },
    place.options,
  )
  const queue = new aws.sqs.Queue(
    place.id('Events'),
    {
      name: place.name('events'),
      messageRetentionSeconds: longestSeconds,
      visibilityTimeoutSeconds: visibilitySeconds,
      receiveWaitTimeSeconds: 20,
      redrivePolicy: $jsonStringify({ deadLetterTargetArn: deadLetters.arn, maxReceiveCount: attempts }),
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

/** What S3 tells of: arrivals; and where several regions copy to each other, what others have finished and erased. */
const prefixes = { always: [originalsPrefix], isReplicated: [manifestsPrefix, erasedPrefix] }

/**
 * Has S3 tell the queue of every new original, and in a stage with several regions of manifests and erasures.
 * @returns what has to be there before an upload can be noticed
 */
export function tellOfObjects(options: {
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
    // S3 sends a test message first, and refuses where it may not.
    { ...place.options, dependsOn: [policy] },
  )
}
