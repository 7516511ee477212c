import type { Redis } from 'ioredis'
import { redisScript, runScript } from '../connections/redis-script.ts'
import { fleetKey } from './heartbeats.ts'
import { bucketOf, type LatencyHistogram } from './latency-histogram.ts'

const countScript = redisScript(`
redis.call('HINCRBY', KEYS[1], ARGV[1], 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])`)

/** Expiry of counts that no publisher takes, in ms. */
const ttlMs = 60 * 60 * 1000

/**
 * Counts finished jobs by duration, for all workers in one place. So no job is lost or counted twice when another
 * process becomes the publisher.
 *
 *   {prefix}:{fleet}:finished   hash: the number of jobs by bucket of their duration
 */
export function createFinishedJobs({ redis, prefix }: { redis: Redis; prefix: string }) {
  const key = fleetKey(prefix, 'finished')
  return {
    /** Counts a job. @param ms its duration, in ms */
    async add(ms: number): Promise<void> {
      await runScript(redis, countScript, 1, key, bucketOf(ms), ttlMs)
    },
    /** Returns the counts since the last call, and resets them. */
    async take(): Promise<LatencyHistogram> {
      const [counted] = (await redis.multi().hgetall(key).del(key).exec()) ?? []
      const [error, counts] = counted ?? []
      if (error) throw error
      return Object.entries(counts ?? {})
        .map(([bucket, count]): [number, number] => [Number(bucket), Number(count)])
        .sort(([bucketA], [bucketB]) => bucketA - bucketB)
    },
  }
}

export type FinishedJobs = ReturnType<typeof createFinishedJobs>
