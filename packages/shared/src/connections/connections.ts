import { S3Client, type S3ClientConfig } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { Redis, type RedisOptions } from 'ioredis'
import type { Logger } from 'pino'
import { corkWrites } from './cork-writes.ts'
import { hasHeaders, lightenS3 } from './lighten-s3.ts'
import { isRoleLost } from './outage.ts'
import { rejectInterrupted } from './reject-interrupted.ts'

/** What both services need to reach Redis, S3 and SQS. `streamingS3` is for bodies that pass through. */
export type Clients = { redis: Redis; s3: S3Client; streamingS3: S3Client; sqs: SQSClient }

/** A server that lost its role is left at most this often by each connection, in ms. */
const minReconnectionMs = 1_000

/**
 * How long a connection may wait for the next byte of an answer, in ms. A host that has gone closes nothing: without a limit, its
 * commands would wait until the kernel gives up after a quarter of an hour, and a handshake for ever. A Redis that stalls for
 * seconds is waited for. Workers wait for jobs for up to 10 s.
 */
const answerTimeoutMs = { commands: 10_000, blocking: 20_000, subscriber: 10_000 }

/**
 * Connects to Redis for commands that should fail fast: without Redis, each is retried twice and then rejected. Commands
 * that a demoted primary refuses are rejected, and the connection is opened again: its address may lead to the new
 * primary. So is a connection whose answers stay away.
 *
 * Without ioredis' auto-pipelining, which promotes garbage to V8's old generation (decision 0019). Hot lookups are
 * batched instead (`batcher.ts`).
 *
 * @param url `redis://` or `rediss://`
 */
export function connectRedis(url: string, log: Logger): Redis {
  return connect(url, { maxRetriesPerRequest: 2, socketTimeout: answerTimeoutMs.commands }, log)
}

/**
 * Connects to Redis for BullMQ's workers, which wait for Redis without a limit (BullMQ requires `maxRetriesPerRequest: null`
 * of blocking connections). Leaves a demoted primary, or a silent host, as `connectRedis` does.
 *
 * @param url `redis://` or `rediss://`
 */
export function connectBlockingRedis(url: string, log: Logger): Redis {
  return connect(url, { maxRetriesPerRequest: null, socketTimeout: answerTimeoutMs.blocking }, log)
}

/**
 * Connects to Redis for `createSubscriber`, which subscribes again by itself after each reconnection. So nothing is sent again
 * here: with the connection, its commands are rejected.
 *
 * @param url `redis://` or `rediss://`
 */
export function connectSubscriberRedis(url: string, log: Logger): Redis {
  return connect(
    url,
    { autoResubscribe: false, maxRetriesPerRequest: 0, socketTimeout: answerTimeoutMs.subscriber },
    log,
  )
}

/**
 * Makes a subscriber connect again whenever a connection for commands does. A subscriber sends no writes, so it would
 * never learn that its server is no longer the primary.
 *
 * @param subscriber its `createSubscriber` subscribes again
 * @param commands a connection to the same Redis that is used often
 */
export function reconnectTogether(subscriber: Redis, commands: Redis): void {
  commands.on('close', () => {
    if (subscriber.status === 'ready') subscriber.disconnect(true)
  })
}

function connect(
  url: string,
  options: Pick<RedisOptions, 'autoResubscribe' | 'maxRetriesPerRequest' | 'socketTimeout'>,
  log: Logger,
): Redis {
  const reconnectOnError = createReconnectOnError()
  // Without a listener, an outage would end the process. ioredis reconnects by itself.
  const redis = new Redis(url, { ...options, reconnectOnError }).on('error', (error) =>
    log.warn({ err: error }, 'Redis connection'),
  )
  return corkWrites(rejectInterrupted(endWhileReconnecting(redis)))
}

/**
 * Makes a connection, and its duplicates, end at once if it is closed while it waits to connect again. ioredis 6.0 stops
 * the wait, but never emits `end`. BullMQ waits for that event, so a worker that stops in that moment would not.
 */
function endWhileReconnecting(redis: Redis): Redis {
  const disconnect = redis.disconnect.bind(redis)
  const duplicate = redis.duplicate.bind(redis)
  redis.disconnect = (reconnect = false) => {
    // There is no socket to close in either status.
    if (redis.status === 'reconnecting' && !reconnect) redis.status = 'wait'
    disconnect(reconnect)
  }
  redis.duplicate = (override) => endWhileReconnecting(duplicate(override))
  return redis
}

/**
 * Creates the function that decides after each error reply whether its connection is opened again. ioredis' duplicates of
 * a connection share the function, but each has options of its own, of which it is a method.
 */
function createReconnectOnError() {
  const reconnectedAtMs = new WeakMap<object, number>()

  /** @returns 1: reject the command and connect again. With 2, ioredis would send the command again without a limit */
  return function reconnectOnError(this: object, error: Error): 1 | false {
    if (!isRoleLost(error)) return false
    const nowMs = performance.now()
    const lastMs = reconnectedAtMs.get(this)
    if (lastMs !== undefined && nowMs - lastMs < minReconnectionMs) return false
    reconnectedAtMs.set(this, nowMs)
    return 1
  }
}

/**
 * In ms. Without timeouts, a dead connection would block its request, and the job behind it, forever. The socket's
 * timeout is longer than SQS' longest long poll (20 s).
 */
const timeouts = { connectionTimeout: 5_000, socketTimeout: 30_000 }

/**
 * By default the SDK sends `Expect: 100-continue` for bodies of 2 MiB and more, and opens a new connection for each such
 * request: a handshake and two more round trips for every file and part.
 */
const withoutExpectContinue = { expectContinueHeader: false }

/**
 * Connects to S3 with the endpoint and credentials of the SDK's own variables.
 *
 * The SDK composes the functions that handle a request once for each kind of request. So middleware must be added before the first
 * one. A request with options of its own, such as a signal to abort it, empties this cache: it does not belong on hot paths.
 *
 * @param endpoint replaces theirs
 */
export function connectS3(endpoint?: string): S3Client {
  return lightenS3(
    new S3Client({
      ...withoutExpectContinue,
      cacheMiddleware: true,
      requestHandler: timeouts,
      ...(endpoint && { endpoint }),
    }),
  )
}

/**
 * Closes connections that were idle for 5 s (in ms). A streamed body cannot be sent twice, so it must not start on a
 * connection that S3 is about to close.
 */
const streamingAgent = { maxSockets: Number.POSITIVE_INFINITY, timeout: 5_000 }

/**
 * Connects to S3 for streamed bodies. They are sent as they arrive, so a socket may be silent as long as its source (the
 * sender has an idle timeout). Each body has a socket, instead of the SDK's 50 in total. The bytes are not hashed: TLS
 * protects them, and the worker computes their SHA-256 once.
 *
 * @param where replaces the values of the SDK's own variables
 */
export function connectStreamingS3(
  where: Pick<S3ClientConfig, 'endpoint' | 'region' | 'credentials'> = {},
): S3Client {
  const s3 = new S3Client({
    ...where,
    ...withoutExpectContinue,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    // The SDK would print that a stream cannot be retried. The sender gets the error anyway.
    logger: silent,
    requestHandler: {
      connectionTimeout: timeouts.connectionTimeout,
      httpAgent: streamingAgent,
      httpsAgent: streamingAgent,
    },
  })
  s3.middlewareStack.add(
    (next) => (args) => {
      // The SDK signs streams this way anyway. For a part in memory it would hash all bytes on the event loop.
      const { request } = args
      if (!hasHeaders(request)) throw new TypeError('The SDK built a request without headers.')
      request.headers['x-amz-content-sha256'] = 'UNSIGNED-PAYLOAD'
      return next(args)
    },
    { step: 'build', name: 'unsignedPayload' },
  )
  return lightenS3(s3)
}

/** Connects to SQS with the endpoint and credentials of the SDK's own variables. */
export function connectSqs(): SQSClient {
  return new SQSClient({ requestHandler: timeouts })
}

const ignore = () => undefined
const silent = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore }
