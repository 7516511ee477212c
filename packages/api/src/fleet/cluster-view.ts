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
      'in ms, over the last minute, of requests (API) or jobs (workers); null if there were none. ' +
      'Computed from all durations of the tier or instance; the error is at most 4.5 %',
  },
)

const { latency: _, ...heartbeatFields } = Heartbeat.properties
const Instance = Type.Object({ ...heartbeatFields, latencyMs: Latency }, { title: 'Instance' })

const TierView = Type.Object(
  {
    tier: Tier,
    instances: Type.Integer({ description: 'including draining instances' }),
    serving: Type.Integer(),
    slots: Type.Integer({ description: 'of serving instances' }),
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
      description: 'the last sample of the queue; null if there is no recent one',
    }),
    history: Type.Array(QueueLoadPoint, { description: 'newest first' }),
    scaling: Type.Array(TierScaling, { description: 'of tiers that the local autoscaler manages' }),
    decisions: Type.Array(ScalingDecision, { description: 'newest first' }),
  },
  { title: 'Cluster' },
)
export type Cluster = Static<typeof Cluster>

/**
 * Creates the function that combines the heartbeats of all instances with the fleet's metrics and decisions.
 */
export function createClusterView(deps: { heartbeats: Heartbeats; journal: FleetJournal }) {
  const { heartbeats, journal } = deps

  return async function viewCluster(): Promise<Cluster> {
    const [instances, sample, history, scaling, decisions] = await Promise.all([
      heartbeats.list(),
      journal.sample(),
      journal.points(),
      journal.scaling(),
      journal.decisions(),
    ])
    return {
      at: new Date().toISOString(),
      tiers: Tier.anyOf.map(({ const: tier }) => viewTier(tier, instances)),
      instances: instances.map(({ latency, ...rest }) => ({ ...rest, latencyMs: percentiles(latency) })),
      load: sample ?? null,
      history,
      scaling,
      decisions,
    }
  }
}

export type ViewCluster = ReturnType<typeof createClusterView>

function viewTier(tier: Tier, instances: Heartbeat[]): Static<typeof TierView> {
  const ofTier = instances.filter((instance) => instance.tier === tier)
  const serving = ofTier.filter(({ state }) => state === 'serving')
  const sum = (heartbeats: Heartbeat[], read: (heartbeat: Heartbeat) => number) =>
    heartbeats.reduce((total, heartbeat) => total + read(heartbeat), 0)
  return {
    tier,
    instances: ofTier.length,
    serving: serving.length,
    slots: sum(serving, ({ slots }) => slots),
    busy: sum(ofTier, ({ busy }) => busy),
    perSecond: sum(ofTier, ({ perSecond }) => perSecond),
    latencyMs: percentiles(mergeHistograms(ofTier.map(({ latency }) => latency))),
  }
}

function percentiles(latency: LatencyHistogram): Static<typeof Latency> {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => quantileMs(latency, share))
  if (p50 === undefined || p95 === undefined || p99 === undefined) return null
  return { p50, p95, p99 }
}
