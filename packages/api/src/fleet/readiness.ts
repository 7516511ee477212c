import { HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3'
import { GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import type { Redis } from 'ioredis'

/** Timeout of each check, in ms. */
const timeoutMs = 2000
/** Expiry of the key that the check writes, in ms. */
const keyTtlMs = 10_000

export type Readiness = { ready: boolean; checks: Record<'redis' | 's3' | 'sqs', 'ok' | 'failed'> }

/**
 * Creates the readiness check. It sends one cheap request to each dependency, for a resource that the API
 * needs. Redis gets a write, since a replica and a full Redis answer everything else:
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
    const [redisOk, s3Ok, sqsOk] = await Promise.all([
      succeeds(Promise.race([redis.set(key, 1, 'PX', keyTtlMs), rejectOn(abortSignal)])),
      succeeds(s3.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal })),
      succeeds(sqs.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl }), { abortSignal })),
    ])
    return {
      ready: redisOk && s3Ok && sqsOk,
      checks: { redis: outcome(redisOk), s3: outcome(s3Ok), sqs: outcome(sqsOk) },
    }
  }
}

export type CheckReadiness = ReturnType<typeof createReadiness>

async function succeeds(request: Promise<unknown>): Promise<boolean> {
  return request.then(
    () => true,
    () => false,
  )
}

function rejectOn(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) =>
    signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
  )
}

function outcome(ok: boolean): 'ok' | 'failed' {
  return ok ? 'ok' : 'failed'
}
