import type { Redis } from 'ioredis'
import Type, { type Static, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { fleetKey, Tier } from './heartbeats.ts'

const At = Type.String({ description: 'ISO 8601' })
const Count = Type.Integer({ minimum: 0 })

/** One look at the queue. */
export const QueueLoadSample = Type.Object(
  {
    at: At,
    load: Type.Number({ minimum: 0, description: 'jobs there are for each worker slot' }),
    waiting: Count,
    prioritized: Count,
    active: Count,
    notRelayed: Type.Integer({ minimum: 0, description: 'messages in SQS that have not become jobs yet' }),
    slots: Type.Integer({ minimum: 0, description: 'of all workers that take jobs' }),
    oldestJobAgeMs: Type.Number({ minimum: 0, description: 'of the job that waits longest' }),
  },
  { title: 'QueueLoadSample' },
)
export type QueueLoadSample = Static<typeof QueueLoadSample>

/** Jobs and messages that are there. */
export function presentOf({ waiting, prioritized, active, notRelayed }: QueueLoadSample): number {
  return waiting + prioritized + active + notRelayed
}

/** Jobs and messages that wait. */
export function depthOf({ waiting, prioritized, notRelayed }: QueueLoadSample): number {
  return waiting + prioritized + notRelayed
}

/** The samples of one period of the metric in one. */
export const QueueLoadPoint = Type.Object(
  {
    at: Type.String({ description: 'the end of the period, ISO 8601' }),
    load: Type.Number({ minimum: 0, description: 'on average' }),
    demand: Type.Number({
      minimum: 0,
      description: 'work that arrived for each slot, such as keeps it busy',
    }),
    queueDepth: Type.Number({ minimum: 0, description: 'jobs and messages that wait, on average' }),
    oldestJobAgeMs: Type.Number({ minimum: 0, description: 'at most' }),
    jobsFinished: Count,
    jobDurationMs: Type.Union([Type.Number(), Type.Null()], {
      description: 'on average; null: no job ended',
    }),
    slots: Type.Number({ minimum: 0, description: 'on average' }),
  },
  { title: 'QueueLoadPoint' },
)
export type QueueLoadPoint = Static<typeof QueueLoadPoint>

/** What the local autoscaler makes of a tier at the moment. On AWS, Auto Scaling has that in its own console. */
export const TierScaling = Type.Object(
  {
    tier: Tier,
    at: At,
    min: Count,
    max: Count,
    desired: Count,
    inService: Count,
    starting: Count,
    reason: Type.String({ description: 'why it is as it is' }),
  },
  { title: 'TierScaling' },
)
export type TierScaling = Static<typeof TierScaling>

export const ScalingDecision = Type.Object(
  { at: At, tier: Tier, from: Count, to: Count, reason: Type.String() },
  { title: 'ScalingDecision' },
)
export type ScalingDecision = Static<typeof ScalingDecision>

/** How many of each are kept. Ten minutes of load on AWS. */
const keptPoints = 60
const keptDecisions = 50
/** In milliseconds: what is of this moment, and what is history. */
const momentTtlMs = 10_000
const historyTtlMs = 24 * 60 * 60 * 1000

/**
 * What the fleet's load was and what was decided on it, newest first.
 *
 *   {prefix}:{fleet}:sample           the last look at the queue; expires
 *   {prefix}:{fleet}:load             list: the last points
 *   {prefix}:{fleet}:scaling:{tier}   how a tier is scaled at the moment; expires
 *   {prefix}:{fleet}:decisions        list: the last changes of size
 */
export function createFleetJournal({ redis, prefix }: { redis: Redis; prefix: string }) {
  const key = (name: string) => fleetKey(prefix, name)

  async function keep(name: string, entry: object, kept: number): Promise<void> {
    await Promise.all([
      redis.lpush(key(name), JSON.stringify(entry)),
      redis.ltrim(key(name), 0, kept - 1),
      redis.pexpire(key(name), historyTtlMs),
    ])
  }

  return {
    async setSample(sample: QueueLoadSample): Promise<void> {
      await redis.set(key('sample'), JSON.stringify(sample), 'PX', momentTtlMs)
    },
    addPoint: (point: QueueLoadPoint) => keep('load', point, keptPoints),
    async setScaling(scaling: TierScaling): Promise<void> {
      await redis.set(key(`scaling:${scaling.tier}`), JSON.stringify(scaling), 'PX', momentTtlMs)
    },
    addDecision: (decision: ScalingDecision) => keep('decisions', decision, keptDecisions),

    async sample(): Promise<QueueLoadSample | undefined> {
      return readSample(await redis.get(key('sample')))[0]
    },
    async points(): Promise<QueueLoadPoint[]> {
      return (await redis.lrange(key('load'), 0, -1)).flatMap(readPoint)
    },
    async scaling(): Promise<TierScaling[]> {
      return (await redis.mget(key('scaling:api'), key('scaling:worker'))).flatMap(readScaling)
    },
    async decisions(): Promise<ScalingDecision[]> {
      return (await redis.lrange(key('decisions'), 0, -1)).flatMap(readDecision)
    },
  }
}

export type FleetJournal = ReturnType<typeof createFleetJournal>

/** Reads entries of a schema; those that another version wrote otherwise are left out. */
function reader<Schema extends TSchema>(schema: Schema) {
  const validator = Compile(schema)
  return (text: string | null): Static<Schema>[] => {
    const entry: unknown = text === null ? undefined : JSON.parse(text)
    return validator.Check(entry) ? [entry] : []
  }
}

const readSample = reader(QueueLoadSample)
const readPoint = reader(QueueLoadPoint)
const readScaling = reader(TierScaling)
const readDecision = reader(ScalingDecision)
