import { HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3'
import { GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { fullStorageOf } from '@millrace/shared/connections/outage.ts'
import type { Redis } from 'ioredis'

/** Timeout of each check, in ms. */
const timeoutMs = 2000
/** Expiry of the key that the check writes, in ms. */
const keyTtlMs = 10_000

/** `full`: it responds, but its disk has no space left. */
type Outcome = 'ok' | 'failed' | 'full'
export type Readiness = { ready: boolean; checks: Record<'redis' | 's3' | 'sqs', Outcome> }

/**
 * Creates the readiness check. It sends one cheap request to each dependency, for a resource that the API
 * needs. S3 gets no write, which would cost money and leave a version: our local S3, whose disk can be full, refuses
 * HeadBucket as well while it is. Redis gets a write, since a replica and a full Redis answer everything else:
 *
 *   {prefix}:ready:{instance}   1; expires
 *
 * @param deps.prefix prefix of every key
 * @param deps.instance id of this instance
 * @param deps.bucket must exist and allow us access
 * @param deps.queueUrl must exist and allow us access
 */
export function createReadiness(deps: {
  redis: Redis
  prefix: string
  instance: string
  s3: S3Client
  sqs: SQSClient
  bucket: string
  queueUrl: string
}) {
  const { redis, s3, sqs, bucket, queueUrl } = deps
  const key = `${deps.prefix}:ready:${deps.instance}`

  return async function checkReadiness(): Promise<Readiness> {
    const abortSignal = AbortSignal.timeout(timeoutMs)
    const [redisOutcome, s3Outcome, sqsOutcome] = await Promise.all([
      outcomeOf(Promise.race([redis.set(key, 1, 'PX', keyTtlMs), rejectOn(abortSignal)])),
      outcomeOf(s3.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal })),
      outcomeOf(sqs.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl }), { abortSignal })),
    ])
    return {
      ready: [redisOutcome, s3Outcome, sqsOutcome].every((outcome) => outcome === 'ok'),
      checks: { redis: redisOutcome, s3: s3Outcome, sqs: sqsOutcome },
    }
  }
}

export type CheckReadiness = ReturnType<typeof createReadiness>

async function outcomeOf(request: Promise<unknown>): Promise<Outcome> {
  return request.then(
    () => 'ok',
    (error: unknown) => (fullStorageOf(error) ? 'full' : 'failed'),
  )
}

function rejectOn(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
  )
}
