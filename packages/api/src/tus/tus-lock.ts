import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createRedisLease, type RedisLease } from '@millrace/shared/service/redis-lease.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'

/** How long a lock remains after its holder died, in ms, and how often a holder renews it in that time. */
const defaultLeaseMs = 6_000
const renewalsPerLease = 4
/** How long a waiting request waits before it tries again, in ms. */
const pollMs = 50

/** The lock of an upload. Only its holder may add bytes. */
export type TusLock = {
  /** Aborts when the lock is no longer ours: Redis did not respond for too long, or has lost it. */
  lost: AbortSignal
  release(): Promise<void>
}

/**
 * Locks tus uploads, across all instances. A lock is a lease in Redis that its holder renews, so it expires
 * soon after its holder died. If the lock is held, a waiting request notifies the holder, which then releases
 * it, as tus requires: the holder may be waiting for a client whose connection broke unnoticed.
 *
 *   {prefix}:{owner}:tus:{id}:lock     the holder's token; expires with the lease
 *   {prefix}:{owner}:tus:{id}:wanted   exists while a request waits; the holder reads it at each renewal
 *   {prefix}:tus-wanted                channel that notifies holders at once
 *
 * @param deps.redis the connection for commands
 * @param deps.subscriber this instance's connection for messages
 * @param deps.prefix the first part of every key
 * @param deps.leaseMs how long a lock remains after its holder died, in ms
 */
export function createTusLocks(deps: {
  redis: Redis
  subscriber: Redis
  prefix: string
  log: FastifyBaseLogger
  leaseMs?: number
}) {
  const { redis, subscriber, prefix, log, leaseMs = defaultLeaseMs } = deps
  /** Longer than the lease of a holder that died. */
  const waitMs = leaseMs * 2
  const channel = `${prefix}:tus-wanted`
  /** The `onWanted` of each lock that this instance holds, by the lock's key. */
  const wantedListeners = new Map<string, () => void>()

  subscriber.on('message', (from: string, key: string) => {
    if (from === channel) wantedListeners.get(key)?.()
  })
  // Rejects if the connection is closed before it was ready. Holders also read the `wanted` key at each
  // renewal.
  subscriber.subscribe(channel).catch(() => undefined)

  return {
    /**
     * Waits for the lock of an upload and acquires it.
     *
     * @param options.signal aborts when the lock is no longer needed
     * @param options.onWanted called when another request waits for the lock, so that the holder releases it
     * @throws AppError `upload_locked` if the holder does not release it
     */
    async acquire(
      { owner, id }: UploadAddress,
      { signal, onWanted }: { signal: AbortSignal; onWanted: () => void },
    ): Promise<TusLock> {
      const key = `${prefix}:{${owner}}:tus:${id}:lock`
      const wantedKey = `${prefix}:{${owner}}:tus:${id}:wanted`
      const lease = createRedisLease({ redis, key, holder: randomUUID(), ttlMs: leaseMs })
      const deadlineMs = performance.now() + waitMs
      for (;;) {
        signal.throwIfAborted()
        const sentAtMs = performance.now()
        if (await lease.hold()) {
          // This request has set the key. Other waiting requests set it again.
          await redis.del(wantedKey)
          return holdLock({ lease, key, wantedKey, sentAtMs, onWanted })
        }
        if (performance.now() > deadlineMs) throw new AppError('upload_locked')
        await redis.set(wantedKey, 1, 'PX', leaseMs)
        await redis.publish(channel, key)
        await delay(pollMs * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined)
      }
    },
  }

  /** Renews the lease of an acquired lock until the lock is released or lost. */
  function holdLock(acquired: {
    lease: RedisLease
    key: string
    wantedKey: string
    /** When the command that acquired the lease was sent. */
    sentAtMs: number
    onWanted: () => void
  }): TusLock {
    const { lease, key, wantedKey, onWanted } = acquired
    const lost = new AbortController()
    const renewMs = leaseMs / renewalsPerLease
    let leasedUntilMs = acquired.sentAtMs + leaseMs
    wantedListeners.set(key, onWanted)

    const renewal = setInterval(() => {
      // Requests to S3 must be aborted before another request can acquire the lease.
      if (performance.now() + renewMs >= leasedUntilMs) markLost()
      else renew().catch((error) => log.warn({ err: error }, 'tus lock not renewed'))
    }, renewMs)

    async function renew(): Promise<void> {
      const sentAtMs = performance.now()
      const [isOurs, isWanted] = await Promise.all([lease.renew(), redis.exists(wantedKey)])
      if (!isOurs) return markLost()
      leasedUntilMs = sentAtMs + leaseMs
      if (isWanted === 1) onWanted()
    }

    function markLost(): void {
      stopRenewing()
      lost.abort(new AppError('upload_locked', { message: 'The lock of the upload was lost.' }))
    }

    function stopRenewing(): void {
      clearInterval(renewal)
      if (wantedListeners.get(key) === onWanted) wantedListeners.delete(key)
    }

    return {
      lost: lost.signal,
      async release(): Promise<void> {
        stopRenewing()
        try {
          await lease.release()
        } catch (error) {
          // The work under the lock is done. The lease expires by itself.
          log.warn({ err: error }, 'tus lock not released')
        }
      },
    }
  }
}

export type TusLocks = ReturnType<typeof createTusLocks>
