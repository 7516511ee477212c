import {
  assumedJobDurationMs,
  demandOf,
  jobDurationWindowMs,
  publishPeriodMs,
  queueLoadOf,
} from '@millrace/shared/fleet/queue-load.ts'

export const metricPeriodS = publishPeriodMs / 1000

/** Averages over the period that ended at `atS`. */
export type FleetPoint = {
  atS: number
  load: number
  demand: number
  /** Waiting jobs. */
  waiting: number
  /** The share of busy slots. It equals CPU use, because processing photos is mostly CPU work. */
  busyShare: number
  inService: number
}

/**
 * The fleet at one moment. `arrived` and `finished` count jobs since the start; `finishedWorkS` is the sum of the
 * finished jobs' durations.
 */
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
 * Does the same as the fleet's publisher: samples the queue every second and averages each period into one point.
 * @param minPoints how many points to keep at least
 */
export function createFleetMetrics(minPoints: number) {
  const points: FleetPoint[] = []
  let samples: FleetSample[] = []
  let previousArrived = 0
  let jobDurationMs: number = assumedJobDurationMs
  const finishedHistory = [{ finished: 0, finishedWorkS: 0 }]

  /** Returns the mean job duration over the window, in ms. */
  function averageDuration({ finished, finishedWorkS }: FleetSample): number {
    const [oldest] = finishedHistory
    const jobs = finished - (oldest?.finished ?? 0)
    finishedHistory.push({ finished, finishedWorkS })
    if (finishedHistory.length > jobDurationWindowMs / publishPeriodMs) finishedHistory.shift()
    return jobs > 0 ? (1000 * (finishedWorkS - (oldest?.finishedWorkS ?? 0))) / jobs : jobDurationMs
  }

  return {
    points,
    /** Adds a sample; must be called once every second. */
    sample(nowS: number, sample: FleetSample) {
      samples.push(sample)
      if (nowS % metricPeriodS !== 0) return
      const mean = (value: (sample: FleetSample) => number) =>
        samples.reduce((sum, sample) => sum + value(sample), 0) / samples.length
      jobDurationMs = averageDuration(sample)
      points.push({
        atS: nowS,
        load: mean(({ waiting, busySlots, slots }) =>
          queueLoadOf({ waiting, active: busySlots, prioritized: 0, notRelayed: 0, slots }),
        ),
        demand: demandOf({
          arrived: sample.arrived - previousArrived,
          periodMs: publishPeriodMs,
          jobDurationMs,
          slots: sample.slots,
        }),
        waiting: mean(({ waiting }) => waiting),
        busyShare: mean(({ busySlots, slots }) => (slots > 0 ? Math.min(1, busySlots / slots) : 0)),
        inService: mean(({ inService }) => inService),
      })
      previousArrived = sample.arrived
      samples = []
      if (points.length > 2 * minPoints) points.splice(0, points.length - minPoints)
    },
  }
}
