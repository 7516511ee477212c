import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'

/** How long a lock outlives its holder, in ms, and how often a holder that lives says so. */
const defaultLeaseMs = 6_000
const renewalsPerLease = 4
/** How often one who waits tries again, in ms. */
const pollMs = 50

/** KEYS: lock, wanted. ARGV: token, lease in ms. Whether the lock is still this holder's, and whether others wait. */
const renewScript = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {0, 0} end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {1, redis.call('EXISTS', KEYS[2])}
`

/** KEYS: lock. ARGV: token. */
const releaseScript = `
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`

/** The only permission to add bytes to an upload, while it lasts. */
export type TusLock = {
  /** Aborts when the lock is no longer ours: Redis did not answer for too long, or has lost it. */
  lost: AbortSignal
  release(): Promise<void>
}

/**
 * Locks of tus uploads, over all instances. A lock is a lease in Redis that its holder renews, so it ends soon
 * after a holder that died. Whoever wants a lock that is taken asks its holder to let go, as tus demands: the
 * holder may be waiting for a client that is gone without a farewell.
 *
 *   {prefix}:{owner}:tus:{id}:lock     the holder's token; lives as long as the lease
 *   {prefix}:{owner}:tus:{id}:wanted   there while somebody waits: the holder sees it when it renews
 *   {prefix}:tus-wanted                channel on which holders are asked at once
 *
 * @param deps.redis for commands
 * @param deps.subscriber the connection on which this instance hears of changes
 * @param deps.prefix begins every key
 * @param deps.leaseMs how long a lock outlives a holder that died, in ms
 */
export function createTusLocks(deps: {
  redis: Redis
  subscriber: Redis
  prefix: string
  log: FastifyBaseLogger
  leaseMs?: number
}) {
  const { redis, subscriber, prefix, log, leaseMs = defaultLeaseMs } = deps
  /** Longer than a dead holder's lease lasts. */
  const waitMs = leaseMs * 2
  const channel = `${prefix}:tus-wanted`
  const onWanted = new Map<string, () => void>()

  subscriber.on('message', (from: string, key: string) => {
    if (from === channel) onWanted.get(key)?.()
  })
  // Rejects where the connection is closed before it was there. Holders see who waits when they renew, too.
  subscriber.subscribe(channel).catch(() => undefined)

  return {
    /**
     * Waits for the lock of an upload.
     *
     * @param options.signal aborts when it is no longer wanted
     * @param options.wanted called once somebody else wants it: the holder then has to come to an end
     * @throws AppError `upload_locked` where the holder goes on all the same
     */
    async take(
      { owner, id }: UploadAddress,
      { signal, wanted }: { signal: AbortSignal; wanted: () => void },
    ): Promise<TusLock> {
      const key = `${prefix}:{${owner}}:tus:${id}:lock`
      const wantedKey = `${prefix}:{${owner}}:tus:${id}:wanted`
      const token = randomUUID()
      const untilMs = performance.now() + waitMs
      for (;;) {
        signal.throwIfAborted()
        const askedAtMs = performance.now()
        // Sent again after a lost connection it finds its own token.
        const holder = await redis.set(key, token, 'PX', leaseMs, 'NX', 'GET')
        if (holder === null || holder === token) {
          // It was us who wanted it. Who else does says so again.
          await redis.del(wantedKey)
          return hold({ key, wantedKey, token, askedAtMs, wanted })
        }
        if (performance.now() > untilMs) throw new AppError('upload_locked')
        await redis.set(wantedKey, 1, 'PX', leaseMs)
        await redis.publish(channel, key)
        await delay(pollMs * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined)
      }
    },
  }

  function hold(held: {
    key: string
    wantedKey: string
    token: string
    askedAtMs: number
    wanted: () => void
  }): TusLock {
    const { key, wantedKey, token, wanted } = held
    const lost = new AbortController()
    const renewMs = leaseMs / renewalsPerLease
    let leasedUntilMs = held.askedAtMs + leaseMs
    onWanted.set(key, wanted)

    const look = setInterval(() => {
      // Before Redis gives it to somebody else: what is under way has to be stopped by then.
      if (performance.now() + renewMs >= leasedUntilMs) lose()
      else renew().catch((error) => log.warn({ err: error }, 'tus lock not renewed'))
    }, renewMs)

    async function renew(): Promise<void> {
      const askedAtMs = performance.now()
      const answer = await redis.eval(renewScript, 2, key, wantedKey, token, leaseMs)
      const [isOurs, isWanted] = Array.isArray(answer) ? answer : []
      if (isOurs !== 1) return lose()
      leasedUntilMs = askedAtMs + leaseMs
      if (isWanted === 1) wanted()
    }

    function lose(): void {
      letGo()
      lost.abort(new AppError('upload_locked', { message: 'The lock of the upload was lost.' }))
    }

    function letGo(): void {
      clearInterval(look)
      if (onWanted.get(key) === wanted) onWanted.delete(key)
    }

    return {
      lost: lost.signal,
      async release(): Promise<void> {
        letGo()
        try {
          await redis.eval(releaseScript, 1, key, token)
        } catch (error) {
          // What was done under the lock is done. The lease ends by itself.
          log.warn({ err: error }, 'tus lock not released')
        }
      },
    }
  }
}

export type TusLocks = ReturnType<typeof createTusLocks>
