import {
  type FleetJournal,
  QueueLoadPoint,
  QueueLoadSample,
  ScalingDecision,
  TierScaling,
} from '@millrace/shared/fleet/fleet-journal.ts'
import { Heartbeat, type Heartbeats, Tier } from '@millrace/shared/fleet/heartbeats.ts'
import {
  type LatencyHistogram,
  mergeHistograms,
  quantileMs,
} from '@millrace/shared/fleet/latency-histogram.ts'
import Type, { type Static } from 'typebox'

const Latency = Type.Union(
  [Type.Object({ p50: Type.Number(), p95: Type.Number(), p99: Type.Number() }), Type.Null()],
  {
    description:
      'in ms, of the last minute: requests of the API, jobs of workers; null: there were none. ' +
      'Taken from all durations together, off by 4.5 % at most',
  },
)

const { latency: _, ...said } = Heartbeat.properties
const Instance = Type.Object({ ...said, latencyMs: Latency }, { title: 'Instance' })

const TierView = Type.Object(
  {
    tier: Tier,
    instances: Type.Integer({ description: 'those that drain included' }),
    serving: Type.Integer(),
    slots: Type.Integer({ description: 'of those that serve' }),
    busy: Type.Integer(),
    perSecond: Type.Number(),
    latencyMs: Latency,
  },
  { title: 'Tier' },
)

export const Cluster = Type.Object(
  {
    at: Type.String({ description: 'ISO 8601' }),
    tiers: Type.Array(TierView),
    instances: Type.Array(Instance),
    load: Type.Union([QueueLoadSample, Type.Null()], {
      description: 'the last look at the queue; null: no news',
    }),
    history: Type.Array(QueueLoadPoint, { description: 'newest first' }),
    scaling: Type.Array(TierScaling, { description: 'of tiers that the local autoscaler looks after' }),
    decisions: Type.Array(ScalingDecision, { description: 'newest first' }),
  },
  { title: 'Cluster' },
)
export type Cluster = Static<typeof Cluster>

/** Puts together what all processes say of themselves and what is known of the fleet as a whole. */
export function createClusterView(deps: { heartbeats: Heartbeats; journal: FleetJournal }) {
  const { heartbeats, journal } = deps

  return async function viewCluster(): Promise<Cluster> {
    const [processes, sample, history, scaling, decisions] = await Promise.all([
      heartbeats.list(),
      journal.sample(),
      journal.points(),
      journal.scaling(),
      journal.decisions(),
    ])
    return {
      at: new Date().toISOString(),
      tiers: Tier.anyOf.map(({ const: tier }) => viewTier(tier, processes)),
      instances: processes.map(({ latency, ...rest }) => ({ ...rest, latencyMs: percentiles(latency) })),
      load: sample ?? null,
      history,
      scaling,
      decisions,
    }
  }
}

export type ViewCluster = ReturnType<typeof createClusterView>

function viewTier(tier: Tier, processes: Heartbeat[]): Static<typeof TierView> {
  const own = processes.filter((process) => process.tier === tier)
  const serving = own.filter(({ state }) => state === 'serving')
  const sum = (among: Heartbeat[], read: (process: Heartbeat) => number) =>
    among.reduce((total, process) => total + read(process), 0)
  return {
    tier,
    instances: own.length,
    serving: serving.length,
    slots: sum(serving, ({ slots }) => slots),
    busy: sum(own, ({ busy }) => busy),
    perSecond: sum(own, ({ perSecond }) => perSecond),
    latencyMs: percentiles(mergeHistograms(own.map(({ latency }) => latency))),
  }
}

function percentiles(latency: LatencyHistogram): Static<typeof Latency> {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => quantileMs(latency, share))
  if (p50 === undefined || p95 === undefined || p99 === undefined) return null
  return { p50, p95, p99 }
}
