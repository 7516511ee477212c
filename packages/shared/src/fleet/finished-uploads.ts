import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { redisScript, runScript } from '../connections/redis-script.ts'
import { fleetKey } from './heartbeats.ts'

const Count = Type.Integer({ minimum: 0 })

/** Uploads that were finished in some time, by outcome. */
export const FinishedUploadCounts = Type.Object({
  ready: Count,
  rejected: Count,
  failed: Count,
  bytes: Type.Integer({ minimum: 0, description: 'of the originals' }),
})
export type FinishedUploadCounts = Static<typeof FinishedUploadCounts>

const countScript = redisScript(`
redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('HINCRBY', KEYS[1], 'bytes', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[3])`)

/** Expiry of counts that no publisher takes, in ms. */
const ttlMs = 60 * 60 * 1000

/**
 * Counts finished uploads by outcome, for all workers in one place. So no upload is lost or counted twice when another
 * process becomes the publisher.
 *
 *   {prefix}:{fleet}:finished-uploads   hash: the number of uploads by outcome, and their bytes
 */
export function createFinishedUploads({ redis, prefix }: { redis: Redis; prefix: string }) {
  const key = fleetKey(prefix, 'finished-uploads')
  return {
    /** Counts an upload. @param upload its outcome, and the bytes of its original */
    async add(upload: { outcome: 'ready' | 'rejected' | 'failed'; bytes: number }): Promise<void> {
      await runScript(redis, countScript, 1, key, upload.outcome, upload.bytes, ttlMs)
    },
    /** Returns the counts since the last call, and resets them. */
    async take(): Promise<FinishedUploadCounts> {
      const [counted] =
        (await redis.multi().hmget(key, 'ready', 'rejected', 'failed', 'bytes').del(key).exec()) ?? []
      const [error, counts] = counted ?? []
      if (error) throw error
      const [ready, rejected, failed, bytes] = Array.isArray(counts) ? counts.map(Number) : []
      return { ready: ready ?? 0, rejected: rejected ?? 0, failed: failed ?? 0, bytes: bytes ?? 0 }
    },
  }
}

export type FinishedUploads = ReturnType<typeof createFinishedUploads>
