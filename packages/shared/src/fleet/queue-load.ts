/**
 * The signals that the worker tier scales on, and the names under which it and what explains it go to CloudWatch.
 * One process publishes for the whole fleet, every `publishPeriodMs`, zeros included: an alarm without data
 * decides nothing.
 */

/** Samples are averaged over it. The shortest period that CloudWatch keeps and alarms look at but 1 s. */
export const publishPeriodMs = 10_000

/** How often the queue is looked at: a single look in ten seconds is mostly chance in a small fleet. */
export const samplePeriodMs = 1_000

/** One look at the queue. */
export type QueueSample = {
  /** Jobs of the BullMQ queue by state. */
  waiting: number
  prioritized: number
  active: number
  /** Visible messages in SQS, which no worker has yet made a job of. */
  notRelayed: number
  /** Slots of all workers that take jobs; those of draining ones are not counted. */
  slots: number
}

/**
 * An empty fleet counts as a thousandth of a slot. That guards the division, and makes a load of 1,000 of a single
 * job, which no fleet that works will see: it wakes the fleet from zero.
 */
const slotsOfEmptyFleet = 0.001

/**
 * Work for each slot: (waiting + prioritized + active + not yet relayed) ÷ slots. Below 1 it is the share of
 * the slots that are busy; above 1 jobs wait.
 */
export function queueLoadOf({ waiting, prioritized, active, notRelayed, slots }: QueueSample): number {
  return (waiting + prioritized + active + notRelayed) / Math.max(slots, slotsOfEmptyFleet)
}

/** What a period of `periodMs` saw of arrivals. */
export type ArrivalSample = {
  /** Jobs that arrived in it: `arrivedBetween`. */
  arrived: number
  periodMs: number
  /** How long a job holds its slot, on average of `jobDurationWindowMs`, in ms. */
  jobDurationMs: number
  /** At the end of the period. */
  slots: number
}

/** Over how long durations are averaged for demand. Where no job ended in it, the last average stands. */
export const jobDurationWindowMs = 60_000

/** What a job is taken to take before any has ended, in ms. */
export const assumedJobDurationMs = 1_000

/**
 * How many jobs arrived, by counting what is there: those that are there and were not before, and those that
 * came and ended meanwhile.
 * @param before waiting + prioritized + active + not yet relayed, at the start of the period
 * @param after the same at its end
 * @param finished jobs that ended in the period
 */
export function arrivedBetween(before: number, after: number, finished: number): number {
  return Math.max(0, after - before + finished)
}

/**
 * Work that arrives ÷ slots: how many times over the fleet could be kept busy. While nothing waits it is what load
 * is; unlike load it does not grow with the time for which jobs have waited already.
 */
export function demandOf({ arrived, periodMs, jobDurationMs, slots }: ArrivalSample): number {
  return (arrived * jobDurationMs) / periodMs / Math.max(slots, slotsOfEmptyFleet)
}

/** CloudWatch's namespace of all metrics below. */
export const metricNamespace = 'Millrace'

/** The only dimension, with the stage's name as its value: alarms must name the same ones. */
export const stageDimension = 'Stage'

/**
 * Metrics, each with CloudWatch's unit and the statistic that makes sense of it. `StorageResolution` is 1 for all:
 * only such metrics can be looked at in periods of 10 s.
 */
export const fleetMetrics = {
  /** `queueLoadOf` each sample. */
  load: { name: 'Load', unit: 'None', statistic: 'Average' },
  /** `demandOf` the period. */
  demand: { name: 'Demand', unit: 'None', statistic: 'Average' },
  /** Jobs that wait, in BullMQ and in SQS. */
  queueDepth: { name: 'QueueDepth', unit: 'Count', statistic: 'Average' },
  /** How long the job that waits longest has waited; 0 when none waits. */
  oldestJobAge: { name: 'OldestJobAge', unit: 'Seconds', statistic: 'Maximum' },
  /** Jobs that ended in the period, whatever their outcome. */
  jobsFinished: { name: 'JobsFinished', unit: 'Count', statistic: 'Sum' },
  /** From a job's start to its end, each job of the period. */
  jobDuration: { name: 'JobDuration', unit: 'Milliseconds', statistic: 'Average' },
  workerSlots: { name: 'WorkerSlots', unit: 'Count', statistic: 'Average' },
} as const
