import { randomUUID } from 'node:crypto'
import { PutObjectCommand, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import type { Subscriber } from '@millrace/shared/connections/subscriber.ts'
import { revocationKey, revocationsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import { withDeadline } from '@millrace/shared/service/deadline.ts'
import { createSeldomWarning } from '@millrace/shared/service/seldom-warning.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { tokenIdEndMs } from './token-id.ts'

/** How often Redis is asked whether there are new revocations, in ms. */
const defaultPollMs = 2_000
/** How often S3 is listed although Redis knows of no new revocation, in ms. */
const defaultMaxAgeMs = 15_000
/** A Redis that takes longer counts as one that does not respond, in ms. */
const redisDeadlineMs = 1_000
/** Revocations are kept for this long after their tokens ended, in ms: more than clocks differ. */
const marginMs = 10_000

/**
 * Knows which upload tokens were revoked. S3 has an empty object for each, whose key begins with the token's end, so that a
 * listing begins at the tokens that have not ended. All instances know a revocation:
 *
 * - at once, by a message on the channel `{prefix}:revoked-tokens`;
 * - if they miss it, after 2 s: Redis has a text that changes with each revocation, and S3 is listed when it changed, is
 *   gone, or cannot be read;
 * - whatever happened to Redis, after 15 s, because S3 is listed at least that often.
 *
 * Nothing is polled before the first token. A listing costs 0.000005 USD (S3 Standard, us-east-1, 2026): less than 0.90 USD
 * a month for an instance that gets tokens all the time.
 *
 *   {prefix}:revocations   a random text, replaced with each revocation
 *
 * @param deps.pollMs how often Redis is asked, in ms
 * @param deps.maxAgeMs how often S3 is listed at least, in ms
 */
export function createRevokedTokens(deps: {
  redis: Redis
  subscriber: Subscriber
  prefix: string
  s3: S3Client
  bucket: string
  log: Pick<Logger, 'warn'>
  pollMs?: number
  maxAgeMs?: number
}) {
  const { redis, subscriber, prefix, s3, bucket, log } = deps
  const { pollMs = defaultPollMs, maxAgeMs = defaultMaxAgeMs } = deps
  const versionKey = `${prefix}:revocations`
  const channel = `${prefix}:revoked-tokens`
  const warnSeldom = createSeldomWarning({ log })
  const revoked = new Set<string>()
  /** What is known of S3: the version that Redis had before the listing, and when it was. */
  let listed: { version: string | null; atMs: number } | undefined
  let timer: NodeJS.Timeout | undefined
  let polling: Promise<void> | undefined
  let isClosed = false

  subscriber.subscribe(channel, (id) => revoked.add(id))

  async function poll(): Promise<void> {
    const version = await readVersion()
    const isCurrent =
      listed !== undefined &&
      version !== undefined &&
      listed.version === version &&
      performance.now() - listed.atMs < maxAgeMs
    if (isCurrent) return
    const atMs = performance.now()
    await list()
    listed = { version: version ?? null, atMs }
  }

  /** Returns undefined if Redis cannot tell. */
  async function readVersion(): Promise<string | null | undefined> {
    try {
      return await withDeadline('reading of revocations', redisDeadlineMs, () => redis.get(versionKey))
    } catch {
      return undefined
    }
  }

  async function list(): Promise<void> {
    const sinceMs = Date.now() - marginMs
    for (const id of revoked) if (tokenIdEndMs(id) < sinceMs) revoked.delete(id)
    const pages = paginateListObjectsV2(
      { client: s3 },
      { Bucket: bucket, Prefix: revocationsPrefix, StartAfter: revocationKey(secondsText(sinceMs)) },
    )
    for await (const { Contents = [] } of pages) {
      for (const { Key = '' } of Contents) revoked.add(Key.slice(revocationsPrefix.length))
    }
  }

  /** One poll at a time: further calls wait for the one that runs. */
  function pollOnce(): Promise<void> {
    polling ??= poll().finally(() => {
      polling = undefined
    })
    return polling
  }

  /** Begins to poll. @throws what S3 rejects with, until it was listed once */
  async function ensureListed(): Promise<void> {
    if (!timer && !isClosed) {
      timer = setInterval(() => {
        pollOnce().catch((error) => {
          warnSeldom('revocations-not-read', error, 'revocations of upload tokens not read')
        })
      }, pollMs).unref()
    }
    if (!listed) await pollOnce()
  }

  return {
    /** Whether a token was revoked. @throws what S3 rejects with, if it could not be read since the start */
    async has(id: string): Promise<boolean> {
      if (!listed) await ensureListed()
      return revoked.has(id)
    },

    /**
     * Revokes a token, until its end. A Redis that does not respond is no failure: the other instances cannot ask it either,
     * and read S3.
     */
    async revoke(id: string): Promise<void> {
      await s3.send(new PutObjectCommand({ Bucket: bucket, Key: revocationKey(id), Body: '' }))
      revoked.add(id)
      await withDeadline('announcing a revocation', redisDeadlineMs, async () => {
        await redis.multi().set(versionKey, randomUUID()).publish(channel, id).exec()
      }).catch((error) => warnSeldom('revocation-not-announced', error, 'revocation not announced in Redis'))
    },

    /** Stops polling. */
    close(): void {
      isClosed = true
      clearInterval(timer)
    },
  }
}

export type RevokedTokens = ReturnType<typeof createRevokedTokens>

/** Seconds since 1970, as ids begin. */
function secondsText(timeMs: number): string {
  return String(Math.floor(timeMs / 1000)).padStart(10, '0')
}
