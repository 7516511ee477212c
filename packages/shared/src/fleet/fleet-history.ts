import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { redisScript, runScript } from '../connections/redis-script.ts'
import { parseJson } from '../connections/stored-json.ts'
import { FinishedUploadCounts } from './finished-uploads.ts'
import { fleetKey } from './heartbeats.ts'
import { Percentiles } from './latency-histogram.ts'

const Average = Type.Number({ minimum: 0 })

/** A tier in one period. */
export const TierPoint = Type.Object(
  {
    serving: Type.Integer({ minimum: 0, description: 'instances that take work' }),
    total: Type.Integer({
      minimum: 0,
      description: 'all instances: those that take work, drain, or have stopped responding',
    }),
    cpuPercent: Type.Union([Average, Type.Null()], {
      description: 'average of the instances that take work, of one core; null without any',
    }),
    perMinute: Type.Number({
      minimum: 0,
      description: 'requests (API) or jobs (workers) in the last minute',
    }),
    errorsPerMinute: Type.Number({ minimum: 0, description: 'responses with a status of 500 or more' }),
    latencyMs: Percentiles,
    busy: Type.Number({ minimum: 0, description: 'average number of active requests or jobs' }),
  },
  { title: 'TierPoint' },
)
export type TierPoint = Static<typeof TierPoint>

/** The fleet in one period. */
export const FleetPoint = Type.Object(
  {
    at: Type.String({ description: 'the end of the period, ISO 8601' }),
    periodMs: Type.Integer({ minimum: 1 }),
    api: TierPoint,
    worker: TierPoint,
    queue: Type.Object({
      load: Type.Number({ minimum: 0, description: 'average queue load' }),
      demand: Type.Union([Average, Type.Null()], {
        description: 'arriving work ÷ slots; null if not measured',
      }),
      waiting: Type.Number({ minimum: 0, description: 'average number of waiting jobs' }),
      active: Average,
      delayed: Type.Number({
        minimum: 0,
        description: 'average number of jobs that wait for another attempt',
      }),
      notRelayed: Type.Number({ minimum: 0, description: 'average number of messages without a job yet' }),
      failed: Type.Integer({
        minimum: 0,
        description: 'failed jobs that are kept, at the end of the period',
      }),
      slots: Average,
      oldestJobAgeMs: Type.Number({ minimum: 0, description: 'maximum' }),
    }),
    uploads: FinishedUploadCounts,
  },
  { title: 'FleetPoint' },
)
export type FleetPoint = Static<typeof FleetPoint>

/** Period of one point, in ms. */
export const historyPeriodMs = 10_000
/** How long points are kept, in ms. */
export const historyMs = 60 * 60 * 1000
/** The largest number of points: some 250 kB. */
const maxPoints = historyMs / historyPeriodMs

/** A newest point that is further in the future than this was written by a process with a wrong clock, in ms. */
const clockToleranceMs = 60_000

/**
 * KEYS: ring. ARGV: end of the period in ms, point, points, ms, tolerance in ms. Adds the point, unless there is one of this
 * period or of a later one.
 */
const addScript = redisScript(`
local at = tonumber(ARGV[1])
local newest = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
if newest then
  local newestAt = tonumber(string.match(newest[1], '^%d+'))
  if newestAt > at + tonumber(ARGV[5]) then redis.call('DEL', KEYS[1])
  elseif newestAt >= at then return 0 end
end
redis.call('XADD', KEYS[1], 'MAXLEN', ARGV[3], ARGV[1] .. '-0', 'point', ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1`)

/**
 * Stores the last hour of the fleet in Redis, as a ring of points.
 *
 *   {prefix}:{fleet}:history   stream: one entry a period; its id is the end of the period. Expires an hour after the last
 *
 * A stream takes entries in order only, so there is one point a period even if two processes publish for a moment.
 *
 * @param deps.now ms since 1970
 */
export function createFleetHistory(deps: { redis: Redis; prefix: string; now?: () => number }) {
  const { redis, prefix, now = Date.now } = deps
  const key = fleetKey(prefix, 'history')
  return {
    /** Adds a point. @returns whether it was added; not if its period has one already */
    async add(point: FleetPoint): Promise<boolean> {
      const values = [Date.parse(point.at), JSON.stringify(point), maxPoints, historyMs, clockToleranceMs]
      return (await runScript(redis, addScript, 1, key, ...values)) === 1
    },
    /** Returns the points of the last hour, oldest first. @param since only those after this point */
    async points(since?: FleetPoint): Promise<FleetPoint[]> {
      const fromMs = Math.max(now() - historyMs, since ? Date.parse(since.at) + 1 : 0)
      const entries = await redis.xrange(key, fromMs, '+')
      return entries.flatMap(([, [, text]]) => readPoint(text))
    },
  }
}

export type FleetHistory = ReturnType<typeof createFleetHistory>

const fleetPoint = Compile(FleetPoint)

/** Skips entries that another version wrote in another shape. */
function readPoint(text: string | undefined): FleetPoint[] {
  const entry: unknown = text === undefined ? undefined : parseJson(text)
  return fleetPoint.Check(entry) ? [entry] : []
}
