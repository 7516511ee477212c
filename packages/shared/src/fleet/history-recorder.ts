import type { FinishedUploads } from './finished-uploads.ts'
import type { FleetHistory, FleetPoint, TierPoint } from './fleet-history.ts'
import { depthOf } from './fleet-journal.ts'
import type { Heartbeat, Tier } from './heartbeats.ts'
import type { InstanceEvents, LostInstance } from './instance-events.ts'
import { mergeHistograms, percentilesOf } from './latency-histogram.ts'
import type { FleetSample } from './queue-sampler.ts'

/** A sample, and the demand of the last period of the metrics, if it is known. */
export type ObservedFleet = FleetSample & { demand: number | undefined }

type Observation = ObservedFleet & { lost: LostInstance[] }

/**
 * Combines the publisher's samples into points of the fleet's history. Periods start at multiples of `periodMs` since 1970.
 *
 * @param deps.periodMs the period of one point, in ms
 * @param deps.now ms since 1970
 */
export function createHistoryRecorder(deps: {
  history: Pick<FleetHistory, 'add'>
  finishedUploads: Pick<FinishedUploads, 'take'>
  instanceEvents: Pick<InstanceEvents, 'update'>
  periodMs: number
  now?: () => number
}) {
  const { history, finishedUploads, instanceEvents, periodMs, now = Date.now } = deps
  let period: { startedAtMs: number; observations: Observation[] } | undefined

  return {
    /** Adds a sample, and writes the point of the period that it ends. */
    async observe(observed: ObservedFleet): Promise<void> {
      const nowMs = now()
      const startedAtMs = Math.floor(nowMs / periodMs) * periodMs
      const lost = await instanceEvents.update(observed.processes, nowMs)
      if (period?.startedAtMs !== startedAtMs) {
        const ended = period
        period = { startedAtMs, observations: [] }
        if (ended) {
          const at = new Date(ended.startedAtMs + periodMs).toISOString()
          const uploads = await finishedUploads.take()
          await history.add({ at, periodMs, ...combine(ended.observations), uploads })
        }
      }
      period.observations.push({ ...observed, lost })
    },
    /** Forgets the current period: another process writes its point. */
    reset(): void {
      period = undefined
    },
  }
}

export type HistoryRecorder = ReturnType<typeof createHistoryRecorder>

/** @param observations at least one */
function combine(observations: Observation[]): Pick<FleetPoint, 'api' | 'worker' | 'queue'> {
  const last = observations.at(-1)
  const demands = observations.flatMap(({ demand }) => demand ?? [])
  const averageOf = (read: (queue: FleetSample['queue']) => number) =>
    mean(observations.map(({ queue }) => read(queue))) ?? 0
  return {
    api: tierPoint('api', observations),
    worker: tierPoint('worker', observations),
    queue: {
      load: averageOf(({ load }) => load),
      demand: mean(demands) ?? null,
      waiting: averageOf((queue) => depthOf(queue) - queue.notRelayed),
      active: averageOf(({ active }) => active),
      delayed: averageOf(({ delayed = 0 }) => delayed),
      notRelayed: averageOf(({ notRelayed }) => notRelayed),
      failed: last?.queue.failed ?? 0,
      slots: averageOf(({ slots }) => slots),
      oldestJobAgeMs: Math.max(0, ...observations.map(({ queue }) => queue.oldestJobAgeMs)),
    },
  }
}

/** Rates and latencies are those of the last minute, as of the last sample. CPU is averaged over all samples. */
function tierPoint(tier: Tier, observations: Observation[]): TierPoint {
  const isOfTier = (one: { tier: Tier }) => one.tier === tier
  const last = observations.at(-1)
  const processes = last?.processes.filter(isOfTier) ?? []
  const lost = last?.lost.filter(isOfTier).length ?? 0
  const samples = observations.map((observation) => observation.processes.filter(isOfTier))
  const cpu = samples.flat().filter(isServing)
  return {
    serving: processes.filter(isServing).length,
    total: processes.length + lost,
    cpuPercent: mean(cpu.map(({ cpuPercent }) => cpuPercent)) ?? null,
    perMinute: sum(processes.map(({ perSecond }) => perSecond * 60)),
    errorsPerMinute: sum(processes.map(({ errorsPerMinute = 0 }) => errorsPerMinute)),
    latencyMs: percentilesOf(mergeHistograms(processes.map(({ latency }) => latency))),
    busy: mean(samples.map((sample) => sum(sample.map(({ busy }) => busy)))) ?? 0,
  }
}

const isServing = ({ state }: Heartbeat) => state === 'serving'
const sum = (values: number[]) => values.reduce((total, value) => total + value, 0)
const mean = (values: number[]) => (values.length === 0 ? undefined : sum(values) / values.length)
