import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createRedisLease, type RedisLease } from '@millrace/shared/service/redis-lease.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'

/** How long a lock outlives its holder, in ms, and how often its holder renews it in that time. */
const defaultLeaseMs = 6_000
const renewalsPerLease = 4
/** How often a request that waits tries again, in ms. */
const pollMs = 50

/** The only permission to add bytes to an upload, while it lasts. */
export type TusLock = {
  /** Aborts when the lock is no longer ours: Redis did not respond for too long, or has lost it. */
  lost: AbortSignal
  release(): Promise<void>
}

/**
 * Locks of tus uploads, over all instances. A lock is a lease in Redis that its holder renews, so it ends soon after
 * its holder died. A request that finds the lock taken asks the holder to release it, as tus demands: the holder may
 * be waiting for a client whose connection broke unnoticed.
 *
 *   {prefix}:{owner}:tus:{id}:lock     the holder's token; lives as long as the lease
 *   {prefix}:{owner}:tus:{id}:wanted   exists while a request waits: the holder reads it when it renews
 *   {prefix}:tus-wanted                channel that tells holders at once
 *
 * @param deps.redis for commands
 * @param deps.subscriber this instance's connection for messages
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
  // Rejects if the connection is closed before it was ready. Holders also read the `wanted` key when they renew.
  subscriber.subscribe(channel).catch(() => undefined)

  return {
    /**
     * Waits for the lock of an upload.
     *
     * @param options.signal aborts when the lock is no longer needed
     * @param options.wanted called when another request waits for the lock: the holder then has to finish
     * @throws AppError `upload_locked` if the holder does not release it
     */
    async take(
      { owner, id }: UploadAddress,
      { signal, wanted }: { signal: AbortSignal; wanted: () => void },
    ): Promise<TusLock> {
      const key = `${prefix}:{${owner}}:tus:${id}:lock`
      const wantedKey = `${prefix}:{${owner}}:tus:${id}:wanted`
      const lease = createRedisLease({ redis, key, holder: randomUUID(), ttlMs: leaseMs })
      const untilMs = performance.now() + waitMs
      for (;;) {
        signal.throwIfAborted()
        const sentAtMs = performance.now()
        if (await lease.hold()) {
          // It is ours that is set. Other requests that wait set it again.
          await redis.del(wantedKey)
          return keep({ lease, key, wantedKey, sentAtMs, wanted })
        }
        if (performance.now() > untilMs) throw new AppError('upload_locked')
        await redis.set(wantedKey, 1, 'PX', leaseMs)
        await redis.publish(channel, key)
        await delay(pollMs * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined)
      }
    },
  }

  /** Renews a lease until it is released or lost. */
  function keep(held: {
    lease: RedisLease
    key: string
    wantedKey: string
    sentAtMs: number
    wanted: () => void
  }): TusLock {
    const { lease, key, wantedKey, wanted } = held
    const lost = new AbortController()
    const renewMs = leaseMs / renewalsPerLease
    let leasedUntilMs = held.sentAtMs + leaseMs
    onWanted.set(key, wanted)

    const renewal = setInterval(() => {
      // Before another request can take the lease: what is on its way has to be aborted by then.
      if (performance.now() + renewMs >= leasedUntilMs) lose()
      else renew().catch((error) => log.warn({ err: error }, 'tus lock not renewed'))
    }, renewMs)

    async function renew(): Promise<void> {
      const sentAtMs = performance.now()
      const [isOurs, isWanted] = await Promise.all([lease.renew(), redis.exists(wantedKey)])
      if (!isOurs) return lose()
      leasedUntilMs = sentAtMs + leaseMs
      if (isWanted === 1) wanted()
    }

    function lose(): void {
      stopRenewing()
      lost.abort(new AppError('upload_locked', { message: 'The lock of the upload was lost.' }))
    }

    function stopRenewing(): void {
      clearInterval(renewal)
      if (onWanted.get(key) === wanted) onWanted.delete(key)
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
