/**
 * The signals that the worker tier scales on, and their metrics in CloudWatch. One process publishes for the whole
 * fleet every `publishPeriodMs`, including zeros, since an alarm without data takes no action.
 */

/** Period of one point, in ms. The shortest that CloudWatch stores and alarms on, except for 1 s. */
export const publishPeriodMs = 10_000

/** Time between samples, in ms. In a small fleet, one sample in ten seconds would be mostly chance. */
export const samplePeriodMs = 1_000

/** One sample of the queue. */
export type QueueSample = {
  /** Jobs of the BullMQ queue by state. */
  waiting: number
  prioritized: number
  active: number
  /** Visible messages in SQS, without a job yet. */
  notRelayed: number
  /** Slots of all workers that are not draining. */
  slots: number
}

/**
 * An empty fleet counts as a thousandth of a slot. This avoids a division by zero, and one job becomes a queue load
 * of 1,000, which no running fleet reaches. That scales the fleet up from zero.
 */
const slotsOfEmptyFleet = 0.001

/**
 * Returns the queue load: (waiting + prioritized + active + not yet relayed) ÷ slots. Below 1 it is the share of
 * busy slots. Above 1, jobs wait.
 */
export function queueLoadOf({ waiting, prioritized, active, notRelayed, slots }: QueueSample): number {
  return (waiting + prioritized + active + notRelayed) / Math.max(slots, slotsOfEmptyFleet)
}

/** The arrivals of one period. */
export type ArrivalSample = {
  /** Jobs that arrived in the period: `arrivedBetween`. */
  arrived: number
  periodMs: number
  /** Average duration of a job over `jobDurationWindowMs`, in ms. */
  jobDurationMs: number
  /** At the end of the period. */
  slots: number
}

/** Window for the average job duration, in ms. If no job finished in it, the previous average is used. */
export const jobDurationWindowMs = 60_000

/** Assumed job duration before the first job finished, in ms. */
export const assumedJobDurationMs = 1_000

/**
 * Returns how many jobs arrived in a period: the growth of the queue plus the finished jobs.
 *
 * @param before waiting + prioritized + active + not yet relayed, at the start of the period
 * @param after the same at its end
 * @param finished jobs that finished in the period
 */
export function arrivedBetween(before: number, after: number, finished: number): number {
  return Math.max(0, after - before + finished)
}

/**
 * Returns the demand: arriving work ÷ slots. If no jobs wait, it equals the queue load. Unlike the queue load, it does
 * not grow while jobs wait.
 */
export function demandOf({ arrived, periodMs, jobDurationMs, slots }: ArrivalSample): number {
  return (arrived * jobDurationMs) / periodMs / Math.max(slots, slotsOfEmptyFleet)
}

/** CloudWatch's namespace of all metrics below. */
export const metricNamespace = 'Millrace'

/** The only dimension; its value is the stage's name. Alarms must use the same dimension. */
export const stageDimension = 'Stage'

/**
 * The fleet's metrics, each with CloudWatch's unit and its meaningful statistic. `StorageResolution` is 1 for all,
 * since only such metrics can be read in periods of 10 s.
 */
export const fleetMetrics = {
  /** `queueLoadOf` of each sample. */
  load: { name: 'Load', unit: 'None', statistic: 'Average' },
  /** `demandOf` of the period. */
  demand: { name: 'Demand', unit: 'None', statistic: 'Average' },
  /** Waiting jobs, in BullMQ and in SQS. */
  queueDepth: { name: 'QueueDepth', unit: 'Count', statistic: 'Average' },
  /** Waiting time of the longest waiting job; 0 if none waits. */
  oldestJobAge: { name: 'OldestJobAge', unit: 'Seconds', statistic: 'Maximum' },
  /** Jobs that finished in the period, with any outcome. */
  jobsFinished: { name: 'JobsFinished', unit: 'Count', statistic: 'Sum' },
  /** Duration of each job that finished in the period, from start to end. */
  jobDuration: { name: 'JobDuration', unit: 'Milliseconds', statistic: 'Average' },
  workerSlots: { name: 'WorkerSlots', unit: 'Count', statistic: 'Average' },
} as const
