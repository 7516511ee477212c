import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { parseJson } from '../connections/stored-json.ts'
import { LatencyHistogram } from './latency-histogram.ts'

export const Tier = Type.Union([Type.Literal('api'), Type.Literal('worker')])
export type Tier = Static<typeof Tier>

/** The state that a process publishes. */
export const Heartbeat = Type.Object({
  id: Type.String({ minLength: 1, description: 'instance name, as in log lines' }),
  tier: Tier,
  state: Type.Union([Type.Literal('serving'), Type.Literal('draining')]),
  since: Type.String({ description: 'start time, ISO 8601' }),
  version: Type.String(),
  cpuPercent: Type.Number({ minimum: 0, description: 'of one core, since the previous heartbeat' }),
  rssBytes: Type.Integer({ minimum: 0 }),
  slots: Type.Integer({ minimum: 0, description: 'concurrent jobs of a worker; 0 for the API' }),
  busy: Type.Integer({ minimum: 0, description: 'active requests or jobs' }),
  perSecond: Type.Number({ minimum: 0, description: 'requests or jobs per second, over the last minute' }),
  // Missing in heartbeats of older versions.
  errorsPerMinute: Type.Optional(
    Type.Number({ minimum: 0, description: 'responses with a status of 500 or more, over the last minute' }),
  ),
  latency: LatencyHistogram,
})
export type Heartbeat = Static<typeof Heartbeat>

/** Interval and expiry of a heartbeat, in ms. */
export const heartbeatMs = 1_000
export const heartbeatTtlMs = 5_000
/** Expiry of the index, so that a stopped fleet leaves no keys behind. In ms. */
const indexTtlMs = 60 * 60 * 1000

const heartbeat = Compile(Heartbeat)

/** Returns a key of the fleet. The keys share a hash tag, so they are in one slot of a Redis Cluster. */
export function fleetKey(prefix: string, name: string): string {
  return `${prefix}:{fleet}:${name}`
}

/**
 * Stores the heartbeats of all processes in Redis.
 *
 *   {prefix}:{fleet}:processes        set: the ids of processes that run or ran recently
 *   {prefix}:{fleet}:heartbeat:{id}   the last heartbeat of a process; expires
 *   {prefix}:{fleet}:stopped          hash: start times of processes that stopped by themselves, by id; expires
 */
export function createHeartbeats({ redis, prefix }: { redis: Redis; prefix: string }) {
  const index = fleetKey(prefix, 'processes')
  const stopped = fleetKey(prefix, 'stopped')
  const key = (id: string) => fleetKey(prefix, `heartbeat:${id}`)

  return {
    async publish(sent: Heartbeat): Promise<void> {
      await Promise.all([
        redis.sadd(index, sent.id),
        redis.pexpire(index, indexTtlMs),
        redis.set(key(sent.id), JSON.stringify(sent), 'PX', heartbeatTtlMs),
      ])
    },
    /** Removes the heartbeat of a process that stops. @param since its start time, as in its heartbeats */
    async remove(id: string, since: string): Promise<void> {
      await Promise.all([
        redis.srem(index, id),
        redis.del(key(id)),
        redis.hset(stopped, id, since),
        redis.pexpire(stopped, indexTtlMs),
      ])
    },
    /** Returns whether a process stopped by itself. Otherwise it crashed, was killed, or cannot reach Redis. */
    async hasStopped({ id, since }: Pick<Heartbeat, 'id' | 'since'>): Promise<boolean> {
      return (await redis.hget(stopped, id)) === since
    },
    /** Forgets that processes stopped. */
    async forgetStopped(ids: string[]): Promise<void> {
      if (ids.length > 0) await redis.hdel(stopped, ...ids)
    },
    /** Returns the heartbeats of all running processes, sorted by id. Skips those of an unknown shape. */
    async list(): Promise<Heartbeat[]> {
      const ids = (await redis.smembers(index)).sort()
      if (ids.length === 0) return []
      const texts = await redis.mget(ids.map(key))
      const expired = ids.filter((_, position) => texts[position] === null)
      // A slow process adds itself again with its next heartbeat.
      if (expired.length > 0) await redis.srem(index, expired)
      return texts.flatMap((text) => {
        const entry: unknown = text === null || text === undefined ? undefined : parseJson(text)
        return heartbeat.Check(entry) ? [entry] : []
      })
    },
  }
}

export type Heartbeats = ReturnType<typeof createHeartbeats>
