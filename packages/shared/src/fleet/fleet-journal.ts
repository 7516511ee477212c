import type { Redis } from 'ioredis'
import Type, { type Static, type TSchema } from 'typebox'
import { Compile } from 'typebox/compile'
import { parseJson } from '../connections/stored-json.ts'
import { fleetKey, Tier } from './heartbeats.ts'

const At = Type.String({ description: 'ISO 8601' })
const Count = Type.Integer({ minimum: 0 })

/** One sample of the queue. */
export const QueueLoadSample = Type.Object(
  {
    at: At,
    load: Type.Number({ minimum: 0, description: 'queue load: jobs ÷ worker slots' }),
    waiting: Count,
    prioritized: Count,
    active: Count,
    // Missing in samples of older versions.
    delayed: Type.Optional(Type.Integer({ minimum: 0, description: 'jobs that wait for another attempt' })),
    failed: Type.Optional(
      Type.Integer({ minimum: 0, description: 'failed jobs that are kept for the operator' }),
    ),
    notRelayed: Type.Integer({ minimum: 0, description: 'messages in SQS without a job yet' }),
    slots: Type.Integer({ minimum: 0, description: 'of all workers that are not draining' }),
    oldestJobAgeMs: Type.Number({ minimum: 0, description: 'of the longest waiting job' }),
  },
  { title: 'QueueLoadSample' },
)
export type QueueLoadSample = Static<typeof QueueLoadSample>

/** Returns the number of jobs and messages, waiting and active. */
export function presentOf({ waiting, prioritized, active, notRelayed }: QueueLoadSample): number {
  return waiting + prioritized + active + notRelayed
}

/** Returns the number of waiting jobs and messages. */
export function depthOf({ waiting, prioritized, notRelayed }: QueueLoadSample): number {
  return waiting + prioritized + notRelayed
}

/** The samples of one period, combined into one point of the metrics. */
export const QueueLoadPoint = Type.Object(
  {
    at: Type.String({ description: 'the end of the period, ISO 8601' }),
    load: Type.Number({ minimum: 0, description: 'average queue load' }),
    demand: Type.Number({
      minimum: 0,
      description: 'arriving work ÷ slots',
    }),
    queueDepth: Type.Number({ minimum: 0, description: 'average number of waiting jobs and messages' }),
    oldestJobAgeMs: Type.Number({ minimum: 0, description: 'maximum' }),
    jobsFinished: Count,
    jobDurationMs: Type.Union([Type.Number(), Type.Null()], {
      description: 'average; null if no job finished',
    }),
    slots: Type.Number({ minimum: 0, description: 'average' }),
  },
  { title: 'QueueLoadPoint' },
)
export type QueueLoadPoint = Static<typeof QueueLoadPoint>

/** The current state of the local autoscaler for one tier. On AWS, the Auto Scaling console shows it. */
export const TierScaling = Type.Object(
  {
    tier: Tier,
    at: At,
    min: Count,
    max: Count,
    desired: Count,
    inService: Count,
    starting: Count,
    reason: Type.String({ description: 'the reason for the last decision' }),
  },
  { title: 'TierScaling' },
)
export type TierScaling = Static<typeof TierScaling>

export const ScalingDecision = Type.Object(
  { at: At, tier: Tier, from: Count, to: Count, reason: Type.String() },
  { title: 'ScalingDecision' },
)
export type ScalingDecision = Static<typeof ScalingDecision>

/** The length of each list. 60 points are ten minutes on AWS. */
const maxPoints = 60
const maxDecisions = 50
/** How long a current state and the history are kept, in ms. */
const currentTtlMs = 10_000
const historyTtlMs = 24 * 60 * 60 * 1000

/**
 * Stores the fleet's queue load and scaling decisions in Redis, newest first.
 *
 *   {prefix}:{fleet}:sample           the last sample of the queue; expires
 *   {prefix}:{fleet}:load             list: the last points
 *   {prefix}:{fleet}:scaling:{tier}   the current scaling state of a tier; expires
 *   {prefix}:{fleet}:decisions        list: the last changes of size
 */
export function createFleetJournal({ redis, prefix }: { redis: Redis; prefix: string }) {
  const key = (name: string) => fleetKey(prefix, name)

  async function prepend(name: string, entry: object, maxLength: number): Promise<void> {
    await Promise.all([
      redis.lpush(key(name), JSON.stringify(entry)),
      redis.ltrim(key(name), 0, maxLength - 1),
      redis.pexpire(key(name), historyTtlMs),
    ])
  }

  return {
    async setSample(sample: QueueLoadSample): Promise<void> {
      await redis.set(key('sample'), JSON.stringify(sample), 'PX', currentTtlMs)
    },
    addPoint: (point: QueueLoadPoint) => prepend('load', point, maxPoints),
    async setScaling(scaling: TierScaling): Promise<void> {
      await redis.set(key(`scaling:${scaling.tier}`), JSON.stringify(scaling), 'PX', currentTtlMs)
    },
    addDecision: (decision: ScalingDecision) => prepend('decisions', decision, maxDecisions),

    async sample(): Promise<QueueLoadSample | undefined> {
      return readSample(await redis.get(key('sample')))[0]
    },
    /** Returns points, newest first. @param count how many; default all */
    async points(count = maxPoints): Promise<QueueLoadPoint[]> {
      return (await redis.lrange(key('load'), 0, count - 1)).flatMap(readPoint)
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

/** Reads entries of a schema. Skips entries that another version wrote in another shape. */
function reader<Schema extends TSchema>(schema: Schema) {
  const validator = Compile(schema)
  return (text: string | null): Static<Schema>[] => {
    const entry: unknown = text === null ? undefined : parseJson(text)
    return validator.Check(entry) ? [entry] : []
  }
}

const readSample = reader(QueueLoadSample)
const readPoint = reader(QueueLoadPoint)
const readScaling = reader(TierScaling)
const readDecision = reader(ScalingDecision)
