import { type FleetHistory, FleetPoint } from '@millrace/shared/fleet/fleet-history.ts'
import {
  type FleetJournal,
  QueueLoadSample,
  ScalingDecision,
  TierScaling,
} from '@millrace/shared/fleet/fleet-journal.ts'
import { Heartbeat, type Heartbeats, Tier } from '@millrace/shared/fleet/heartbeats.ts'
import { InstanceEvent, type InstanceEvents, LostInstance } from '@millrace/shared/fleet/instance-events.ts'
import { mergeHistograms, Percentiles, percentilesOf } from '@millrace/shared/fleet/latency-histogram.ts'
import Type, { type Static } from 'typebox'

const { latency: _, ...heartbeatFields } = Heartbeat.properties
const Instance = Type.Object({ ...heartbeatFields, latencyMs: Percentiles }, { title: 'Instance' })

const TierView = Type.Object(
  {
    tier: Tier,
    instances: Type.Integer({ description: 'including draining instances' }),
    serving: Type.Integer({ description: 'instances that take work' }),
    lost: Type.Integer({
      description: 'instances whose heartbeats ended without notice, in the last two minutes',
    }),
    cpuPercent: Type.Union([Type.Number(), Type.Null()], {
      description: 'average of serving instances, of one core; null without any',
    }),
    slots: Type.Integer({ description: 'of serving instances' }),
    busy: Type.Integer(),
    perSecond: Type.Number(),
    errorsPerMinute: Type.Number({
      description: 'responses with a status of 500 or more, over the last minute',
    }),
    latencyMs: Percentiles,
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
    demand: Type.Union([Type.Number(), Type.Null()], {
      description: 'arriving work ÷ slots, in the last period of the metrics; null if there is none',
    }),
    history: Type.Array(FleetPoint, { description: 'of the last hour, oldest first' }),
    lost: Type.Array(LostInstance),
    scaling: Type.Array(TierScaling, { description: 'of tiers that the local autoscaler manages' }),
    decisions: Type.Array(ScalingDecision, { description: 'newest first' }),
    events: Type.Array(InstanceEvent, { description: 'newest first' }),
  },
  { title: 'Cluster' },
)
export type Cluster = Static<typeof Cluster>

/** What has changed since the event before. `history` has new points only; all other properties are whole. */
export const ClusterChange = Type.Partial(Cluster, { title: 'ClusterChange' })
export type ClusterChange = Static<typeof ClusterChange>

/** Creates the function that combines the heartbeats of all instances with the fleet's history and events. */
export function createClusterView(deps: {
  heartbeats: Heartbeats
  journal: FleetJournal
  history: FleetHistory
  instanceEvents: InstanceEvents
}) {
  const { heartbeats, journal, history, instanceEvents } = deps

  /** @param since only points of the history after this one */
  return async function viewCluster({ since }: { since?: FleetPoint | undefined } = {}): Promise<Cluster> {
    const [instances, sample, [measured], points, lost, scaling, decisions, events] = await Promise.all([
      heartbeats.list(),
      journal.sample(),
      journal.points(1),
      history.points(since),
      instanceEvents.lost(),
      journal.scaling(),
      journal.decisions(),
      instanceEvents.events(),
    ])
    return {
      at: new Date().toISOString(),
      tiers: Tier.anyOf.map(({ const: tier }) => viewTier(tier, instances, lost)),
      instances: instances.map(({ latency, ...rest }) => ({ ...rest, latencyMs: percentilesOf(latency) })),
      load: sample ?? null,
      demand: sample && measured ? measured.demand : null,
      history: points,
      lost,
      scaling,
      decisions,
      events,
    }
  }
}

export type ViewCluster = ReturnType<typeof createClusterView>

function viewTier(tier: Tier, instances: Heartbeat[], lost: LostInstance[]): Static<typeof TierView> {
  const ofTier = instances.filter((instance) => instance.tier === tier)
  const serving = ofTier.filter(({ state }) => state === 'serving')
  const sum = (heartbeats: Heartbeat[], read: (heartbeat: Heartbeat) => number) =>
    heartbeats.reduce((total, heartbeat) => total + read(heartbeat), 0)
  return {
    tier,
    instances: ofTier.length,
    serving: serving.length,
    lost: lost.filter((instance) => instance.tier === tier).length,
    cpuPercent: serving.length > 0 ? sum(serving, ({ cpuPercent }) => cpuPercent) / serving.length : null,
    slots: sum(serving, ({ slots }) => slots),
    busy: sum(ofTier, ({ busy }) => busy),
    perSecond: sum(ofTier, ({ perSecond }) => perSecond),
    errorsPerMinute: sum(ofTier, ({ errorsPerMinute = 0 }) => errorsPerMinute),
    latencyMs: percentilesOf(mergeHistograms(ofTier.map(({ latency }) => latency))),
  }
}
