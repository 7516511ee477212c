import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { LatencyHistogram } from './latency-histogram.ts'

export const Tier = Type.Union([Type.Literal('api'), Type.Literal('worker')])
export type Tier = Static<typeof Tier>

/** What a process says of itself. */
export const Heartbeat = Type.Object({
  id: Type.String({ minLength: 1, description: 'the name that it has in logs' }),
  tier: Tier,
  state: Type.Union([Type.Literal('serving'), Type.Literal('draining')]),
  since: Type.String({ description: 'when it started, ISO 8601' }),
  version: Type.String(),
  cpuPercent: Type.Number({ minimum: 0, description: 'of one core, since the last heartbeat' }),
  rssBytes: Type.Integer({ minimum: 0 }),
  slots: Type.Integer({ minimum: 0, description: 'jobs that a worker takes at once; 0 for the API' }),
  busy: Type.Integer({ minimum: 0, description: 'requests or jobs under way' }),
  perSecond: Type.Number({ minimum: 0, description: 'requests or jobs, over the last minute' }),
  latency: LatencyHistogram,
})
export type Heartbeat = Static<typeof Heartbeat>

/** How often a process tells that it lives, and how long it is believed; in milliseconds. */
export const heartbeatMs = 1_000
export const heartbeatTtlMs = 5_000
/** The index of a fleet that is gone disappears, too. */
const indexTtlMs = 60 * 60 * 1000

const heartbeat = Compile(Heartbeat)

/** Keys of the fleet share a hash tag, so that they are in one slot of a Redis Cluster. */
export function fleetKey(prefix: string, name: string): string {
  return `${prefix}:{fleet}:${name}`
}

/**
 * The heartbeats of all processes.
 *
 *   {prefix}:{fleet}:processes        set: the ids of those that live or did so lately
 *   {prefix}:{fleet}:heartbeat:{id}   what one said last; expires
 */
export function createHeartbeats({ redis, prefix }: { redis: Redis; prefix: string }) {
  const index = fleetKey(prefix, 'processes')
  const key = (id: string) => fleetKey(prefix, `heartbeat:${id}`)

  return {
    async publish(said: Heartbeat): Promise<void> {
      await Promise.all([
        redis.sadd(index, said.id),
        redis.pexpire(index, indexTtlMs),
        redis.set(key(said.id), JSON.stringify(said), 'PX', heartbeatTtlMs),
      ])
    },
    async remove(id: string): Promise<void> {
      await Promise.all([redis.srem(index, id), redis.del(key(id))])
    },
    /** Of every process that lives, by id. One of another version that says what we do not know is left out. */
    async list(): Promise<Heartbeat[]> {
      const ids = (await redis.smembers(index)).sort()
      if (ids.length === 0) return []
      const texts = await redis.mget(ids.map(key))
      const gone = ids.filter((_, position) => texts[position] === null)
      // A process that was only slow adds itself again.
      if (gone.length > 0) await redis.srem(index, gone)
      return texts.flatMap((text) => {
        const said: unknown = text === null || text === undefined ? undefined : JSON.parse(text)
        return heartbeat.Check(said) ? [said] : []
      })
    },
  }
}

export type Heartbeats = ReturnType<typeof createHeartbeats>
