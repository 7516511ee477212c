import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { Redis } from 'ioredis'
import type { Logger } from 'pino'

/** What both services need to reach Redis, S3 and SQS. `streamingS3` is for bodies that pass through. */
export type Clients = { redis: Redis; s3: S3Client; streamingS3: S3Client; sqs: SQSClient }

/**
 * A connection for commands that should fail rather than wait for long: when Redis is away, each is tried
 * again twice and then rejected.
 *
 * Without ioredis' auto-pipelining: with it, what had waited for an answer outlives the young generation (decision
 * 0019). What is asked often is asked together instead (`ask-together.ts`).
 *
 * @param url `redis://` or `rediss://`
 */
export function connectRedis(url: string, log: Logger): Redis {
  return logged(new Redis(url, { maxRetriesPerRequest: 2 }), log)
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

/**
 * The SDK would ask S3 first whether it may send a body of 2 MiB and more, and has a connection of its own for each such
 * request: a handshake and two more round trips for every file and every part.
 */
const withoutAsking = { expectContinueHeader: false }

/**
 * S3, where and as whom the SDK's own variables say.
 * @param endpoint replaces theirs
 */
export function connectS3(endpoint?: string): S3Client {
  return new S3Client({ ...withoutAsking, requestHandler: timeLimits, ...(endpoint && { endpoint }) })
}

/**
 * Closes connections that were idle for 5 s, in milliseconds: a body that passes through can't be sent again, so it
 * should not begin on one that S3 is just about to close.
 */
const streamingAgent = { maxSockets: Number.POSITIVE_INFINITY, timeout: 5_000 }

/**
 * S3 for bodies that pass through: sent as they come, however slowly, so a socket may be silent for as long
 * as its source is (whoever sends watches over that), and one socket for each body rather than the SDK's 50
 * in all. The bytes go unhashed: TLS guards them, and the worker computes their SHA-256 once for all.
 *
 * @param where replaces what the SDK's own variables say
 */
export function connectStreamingS3(
  where: Pick<S3ClientConfig, 'endpoint' | 'region' | 'credentials'> = {},
): S3Client {
  const s3 = new S3Client({
    ...where,
    ...withoutAsking,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    // The SDK would tell the console that a stream cannot be tried again; whoever sends learns it anyway.
    logger: silent,
    requestHandler: {
      connectionTimeout: timeLimits.connectionTimeout,
      httpAgent: streamingAgent,
      httpsAgent: streamingAgent,
    },
  })
  s3.middlewareStack.add(
    (next) => (args) => {
      // What the SDK signs for streams anyway; for a part in memory it would hash all of it on the event loop.
      const { request } = args
      if (!hasHeaders(request)) throw new TypeError('The SDK made a request without headers.')
      request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD'
      return next(args)
    },
    { step: 'build', name: 'unsignedPayload' },
  )
  return s3
}

/** SQS, where and as whom the SDK's own variables say. */
export function connectSqs(): SQSClient {
  return new SQSClient({ requestHandler: timeLimits })
}

const nothing = () => undefined
const silent = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing }

function hasHeaders(request: unknown): request is { headers: Record<string, string> } {
  return typeof request === 'object' && request !== null && 'headers' in request
}
