import { HeadBucketCommand, type S3Client } from '@aws-sdk/client-s3'
import { GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import type { Redis } from 'ioredis'

/** How long a dependency may take to answer, in ms. */
const timeoutMs = 2000

export type Readiness = { ready: boolean; checks: Record<'redis' | 's3' | 'sqs', 'ok' | 'failed'> }

/**
 * Checks what the API depends on, each by a cheap request that needs the very thing to work.
 *
 * @param deps.bucket must exist and be allowed to us
 * @param deps.queueUrl must exist and be allowed to us
 */
export function createReadiness(deps: {
  redis: Redis
  s3: S3Client
  sqs: SQSClient
  bucket: string
  queueUrl: string
}) {
  const { redis, s3, sqs, bucket, queueUrl } = deps

  return async function readiness(): Promise<Readiness> {
    const abortSignal = AbortSignal.timeout(timeoutMs)
    const [redisOk, s3Ok, sqsOk] = await Promise.all([
      answers(Promise.race([redis.ping(), rejectOn(abortSignal)])),
      answers(s3.send(new HeadBucketCommand({ Bucket: bucket }), { abortSignal })),
      answers(sqs.send(new GetQueueAttributesCommand({ QueueUrl: queueUrl }), { abortSignal })),
    ])
    return {
      ready: redisOk && s3Ok && sqsOk,
      checks: { redis: word(redisOk), s3: word(s3Ok), sqs: word(sqsOk) },
    }
  }
}

export type CheckReadiness = ReturnType<typeof createReadiness>

async function answers(request: Promise<unknown>): Promise<boolean> {
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

function word(ok: boolean): 'ok' | 'failed' {
  return ok ? 'ok' : 'failed'
}
