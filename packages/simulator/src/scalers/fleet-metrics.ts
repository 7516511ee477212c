import {
  assumedJobDurationMs,
  demandOf,
  jobDurationWindowMs,
  publishPeriodMs,
  queueLoadOf,
} from '@millrace/shared/fleet/queue-load.ts'

export const metricPeriodS = publishPeriodMs / 1000

/** Averages over one period that ended at `atS`. */
export type FleetPoint = {
  atS: number
  load: number
  demand: number
  /** Jobs that wait. */
  waiting: number
  /** The share of the slots that are busy, which is that of the CPU since photos do little else. */
  busyShare: number
  inService: number
}

/** The fleet at one moment; `arrived` and `finished` count jobs since the start, `finishedWorkS` their durations. */
export type FleetSample = {
  waiting: number
  busySlots: number
  slots: number
  inService: number
  arrived: number
  finished: number
  finishedWorkS: number
}

/**
 * What the fleet's publisher does: looks at the queue every second and makes one point of each period.
 * @param keep how many points are kept at least
 */
export function createFleetMetrics(keep: number) {
  const points: FleetPoint[] = []
  let samples: FleetSample[] = []
  let arrivedBefore = 0
  let jobDurationMs: number = assumedJobDurationMs
  const finishedBefore = [{ finished: 0, finishedWorkS: 0 }]

  /** How long jobs took, on average of the window. */
  function averageDuration({ finished, finishedWorkS }: FleetSample): number {
    const [oldest] = finishedBefore
    const jobs = finished - (oldest?.finished ?? 0)
    finishedBefore.push({ finished, finishedWorkS })
    if (finishedBefore.length > jobDurationWindowMs / publishPeriodMs) finishedBefore.shift()
    return jobs > 0 ? (1000 * (finishedWorkS - (oldest?.finishedWorkS ?? 0))) / jobs : jobDurationMs
  }

  return {
    points,
    /** Call once for each whole second. */
    sample(nowS: number, now: FleetSample) {
      samples.push(now)
      if (nowS % metricPeriodS !== 0) return
      const mean = (value: (sample: FleetSample) => number) =>
        samples.reduce((sum, sample) => sum + value(sample), 0) / samples.length
      jobDurationMs = averageDuration(now)
      points.push({
        atS: nowS,
        load: mean(({ waiting, busySlots, slots }) =>
          queueLoadOf({ waiting, active: busySlots, prioritized: 0, notRelayed: 0, slots }),
        ),
        demand: demandOf({
          arrived: now.arrived - arrivedBefore,
          periodMs: publishPeriodMs,
          jobDurationMs,
          slots: now.slots,
        }),
        waiting: mean(({ waiting }) => waiting),
        busyShare: mean(({ busySlots, slots }) => (slots > 0 ? Math.min(1, busySlots / slots) : 0)),
        inService: mean(({ inService }) => inService),
      })
      arrivedBefore = now.arrived
      samples = []
      if (points.length > 2 * keep) points.splice(0, points.length - keep)
    },
  }
}
