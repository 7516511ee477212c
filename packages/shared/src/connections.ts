import { S3Client } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { Redis } from 'ioredis'
import type { Logger } from 'pino'

/**
 * A connection for commands that should fail rather than wait for long: when Redis is away, each is tried
 * again twice and then rejected. Commands issued in one tick travel in one write.
 *
 * @param url `redis://` or `rediss://`
 */
export function connectRedis(url: string, log: Logger): Redis {
  return logged(new Redis(url, { enableAutoPipelining: true, maxRetriesPerRequest: 2 }), log)
}

/**
 * A connection for BullMQ's workers and for subscribers, which wait for Redis as long as it takes
 * (BullMQ demands `maxRetriesPerRequest: null` of the connections it blocks on).
 *
 * @param url `redis://` or `rediss://`
 */
export function connectBlockingRedis(url: string, log: Logger): Redis {
  return logged(new Redis(url, { maxRetriesPerRequest: null }), log)
}

function logged(redis: Redis, log: Logger): Redis {
  // Without a listener an outage would end the process; ioredis goes on reconnecting by itself.
  return redis.on('error', (error) => log.warn({ err: error }, 'Redis connection'))
}

/**
 * Without limits of time a connection that went dead would hold its request, and the job behind it, forever.
 * In milliseconds; a socket may stay silent for longer than SQS' long poll lasts (20 s).
 */
const timeLimits = { connectionTimeout: 5_000, socketTimeout: 30_000 }

/** S3, where and as whom the SDK's own variables say. */
export function connectS3(): S3Client {
  return new S3Client({ requestHandler: timeLimits })
}

/** SQS, where and as whom the SDK's own variables say. */
export function connectSqs(): SQSClient {
  return new SQSClient({ requestHandler: timeLimits })
}
