/**
 * The signal that the worker tier scales on, and the names under which it and what explains it go to CloudWatch.
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
 * An empty fleet counts as half a slot, so that one job is a load of 2, and a burst. Anything that is not
 * zero would do to guard the division, but this also lets a fleet wake from zero.
 */
const slotsOfEmptyFleet = 0.5

/**
 * Work for each slot: (waiting + prioritized + active + not yet relayed) ÷ slots. Below 1 it is the share of
 * the slots that are busy; above 1 jobs wait.
 */
export function loadOf({ waiting, prioritized, active, notRelayed, slots }: QueueSample): number {
  return (waiting + prioritized + active + notRelayed) / Math.max(slots, slotsOfEmptyFleet)
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
  /** `loadOf` each sample. */
  load: { name: 'Load', unit: 'None', statistic: 'Average' },
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
