import type { Redis } from 'ioredis'
import { fleetKey } from './heartbeats.ts'
import { bucketOf, type LatencyHistogram } from './latency-histogram.ts'

/** Where nobody takes them, they are forgotten after this many milliseconds. */
const ttlMs = 60 * 60 * 1000

/**
 * The jobs that ended since somebody last asked, and how long they took; of all workers together, so that none
 * is lost or counted twice when the publisher changes.
 *
 *   {prefix}:{fleet}:finished   hash: the number of jobs by bucket of their duration
 */
export function createFinishedJobs({ redis, prefix }: { redis: Redis; prefix: string }) {
  const key = fleetKey(prefix, 'finished')
  return {
    /** @param ms how long it took, in milliseconds */
    async add(ms: number): Promise<void> {
      await Promise.all([redis.hincrby(key, String(bucketOf(ms)), 1), redis.pexpire(key, ttlMs)])
    },
    /** @returns what was counted, and begins anew */
    async take(): Promise<LatencyHistogram> {
      const [counted] = (await redis.multi().hgetall(key).del(key).exec()) ?? []
      const [error, counts] = counted ?? []
      if (error) throw error
      return Object.entries(counts ?? {})
        .map(([bucket, count]): [number, number] => [Number(bucket), Number(count)])
        .sort(([one], [other]) => one - other)
    },
  }
}

export type FinishedJobs = ReturnType<typeof createFinishedJobs>
