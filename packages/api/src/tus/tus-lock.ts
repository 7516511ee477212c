import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { createRedisLease, type RedisLease } from '@millrace/shared/connections/redis-lease.ts'
import type { Subscriber } from '@millrace/shared/connections/subscriber.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'

/** How long a lock remains after its holder died, in ms, and how often a holder renews it in that time. */
const defaultLeaseMs = 6_000
const renewalsPerLease = 4
/** How long a waiting request waits before it tries again, in ms. */
const pollMs = 50
/**
 * How long a reader waits for the holder to notice that its client is gone, in ms: a client that aborts a request and asks
 * for the offset at once should be told all bytes that it has sent.
 */
const noticeMs = 150

/** The lock of an upload. Only its holder may add bytes. */
export type TusLock = {
  /** Aborts when the lock is no longer ours: Redis did not respond for too long, or has lost it. */
  lost: AbortSignal
  /** Tells readers that the holder gets no more bytes and stores the last ones. Never rejects. */
  markEnding(): Promise<void>
  release(): Promise<void>
}

/**
 * Locks tus uploads, across all instances: one request at a time writes (PATCH, POST with bytes, DELETE). HEAD only reads.
 *
 * **Who may take over.** Every request that wants to write may end the holder, except a PATCH whose offset is below what S3
 * has: it gets 409 at once. The server cannot know whether the holder's client is still there: its connection may have
 * broken unnoticed, and the next request is then from the same client.
 *
 * 1. The waiting request sets `wanted` and publishes the lock's key. The holder hears it at once, or at its next renewal.
 * 2. The holder ends its body, stores the bytes that it has (tus-chunk.ts), responds 423 and releases the lock.
 * 3. The waiting request acquires the lock and only then reads the offset. Its own offset may be too low by now: 409, and
 *    the client reads the new one with HEAD. Bytes of a client that was silent for a second were stored before
 *    (tus-chunk.ts), so that HEAD has told them already.
 *
 * **How long it takes.** As long as the holder needs for its last request to S3. If the holder's process is dead or
 * suspended, until its lease expires: at most `leaseMs`. If it does not respond at all, the waiting request fails after
 * twice that time with `upload_locked` (423), and clients try again.
 *
 * **Two writers at once.** A holder that cannot renew its lease aborts its requests to S3 before the lease expires. One that
 * was suspended may not, and its last request may still arrive at S3 when the next holder has written. That is harmless:
 * parts of the same number have the same bytes, unfinished bytes and the original are written only if nobody else has
 * written them since (tus-parts.ts), and the record says which parts count.
 *
 * **HEAD** takes no lock, so it never ends a request. A holder whose body is over is about to store its last bytes:
 * HEAD waits for it, so that a client that aborts and resumes is told all that it has sent.
 *
 *   {prefix}:{owner}:tus:{id}:lock     the holder's token; expires with the lease
 *   {prefix}:{owner}:tus:{id}:wanted   exists while a request waits; the holder reads it at each renewal
 *   {prefix}:{owner}:tus:{id}:ending   the token of a holder whose body is over; expires with the lease
 *   {prefix}:tus-wanted                channel that notifies holders at once
 *
 * @param deps.redis the connection for commands
 * @param deps.prefix the first part of every key
 * @param deps.leaseMs how long a lock remains after its holder died, in ms
 */
export function createTusLocks(deps: {
  redis: Redis
  subscriber: Subscriber
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

  // A message may be missed. Holders also read the `wanted` key at each renewal.
  subscriber.subscribe(channel, (key) => wantedListeners.get(key)?.())

  return {
    /**
     * Waits for the lock of an upload and acquires it.
     *
     * @param options.signal aborts when the lock is no longer needed
     * @param options.onWanted called when another request waits for the lock, so that the holder releases it
     * @param options.onHeld called once if another request has the lock, before its holder is told. If it rejects, the holder
     *   is left alone
     * @throws AppError `upload_locked` if the holder does not release it; and what `onHeld` throws
     */
    async acquire(
      address: UploadAddress,
      options: { signal: AbortSignal; onWanted: () => void; onHeld?: () => Promise<void> },
    ): Promise<TusLock> {
      const { signal, onWanted, onHeld } = options
      const { key, wantedKey, endingKey } = keysOf(address)
      const holder = randomUUID()
      const lease = createRedisLease({ redis, key, holder, ttlMs: leaseMs })
      const deadlineMs = performance.now() + waitMs
      for (let isFirst = true; ; isFirst = false) {
        signal.throwIfAborted()
        const sentAtMs = performance.now()
        if (await lease.hold()) {
          // This request has set the key. Other waiting requests set it again.
          await redis.del(wantedKey)
          return holdLock({ lease, holder, key, wantedKey, endingKey, sentAtMs, onWanted })
        }
        if (isFirst) await onHeld?.()
        if (performance.now() > deadlineMs) throw new AppError('upload_locked')
        await redis.set(wantedKey, 1, 'PX', leaseMs)
        await redis.publish(channel, key)
        await delay(pollMs * (0.5 + Math.random()), undefined, { signal }).catch(() => undefined)
      }
    },

    /**
     * Waits until a holder whose body is over has stored its last bytes. Does not wait for a holder that still gets bytes,
     * except for a moment in which it may notice that its client is gone.
     *
     * @param signal aborts when the answer is no longer needed
     */
    async waitForEnding(address: UploadAddress, signal: AbortSignal): Promise<void> {
      const { key, endingKey } = keysOf(address)
      const startedAtMs = performance.now()
      for (;;) {
        signal.throwIfAborted()
        const [holder, ending] = await redis.mget(key, endingKey)
        if (!holder) return
        const waitedMs = performance.now() - startedAtMs
        if (waitedMs > (ending === holder ? waitMs : noticeMs)) return
        await delay(pollMs, undefined, { signal }).catch(() => undefined)
      }
    },
  }

  function keysOf({ owner, id }: UploadAddress) {
    const upload = `${prefix}:{${owner}}:tus:${id}`
    return { key: `${upload}:lock`, wantedKey: `${upload}:wanted`, endingKey: `${upload}:ending` }
  }

  /** Renews the lease of an acquired lock until the lock is released or lost. */
  function holdLock(acquired: {
    lease: RedisLease
    holder: string
    key: string
    wantedKey: string
    endingKey: string
    /** When the command that acquired the lease was sent. */
    sentAtMs: number
    onWanted: () => void
  }): TusLock {
    const { lease, holder, key, wantedKey, endingKey, onWanted } = acquired
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
      async markEnding(): Promise<void> {
        try {
          await redis.set(endingKey, holder, 'PX', leaseMs)
        } catch (error) {
          // Readers are told the offset without the last bytes.
          log.warn({ err: error }, 'tus lock not marked as ending')
        }
      },
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
