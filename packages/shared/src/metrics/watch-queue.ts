import { withDeadline } from '../service/deadline.ts'
import type { Metrics } from './metrics.ts'

/** How long reading the metrics waits for Redis, in ms. */
const deadlineMs = 1_000

/** What the fleet's publisher found in the queue, at most once a second. */
export type QueueState = {
  waiting: number
  prioritized: number
  active: number
  notRelayed: number
  slots: number
  oldestJobAgeMs: number
}

/**
 * Adds the queue of the fleet. Reading the metrics reads the last sample of the fleet's publisher: one GET of Redis. All
 * processes have the same values, so that one of any tier is enough to see them.
 *
 * @param readSample returns undefined if there is no recent sample
 */
export function watchQueue(metrics: Metrics, readSample: () => Promise<QueueState | undefined>): void {
  metrics.beforeRead(async () => {
    const sample = await withDeadline('Reading the queue', deadlineMs, readSample).catch(() => undefined)
    metrics.setGauge('millrace_queue_jobs', sample?.notRelayed, 'not_relayed')
    metrics.setGauge('millrace_queue_jobs', sample?.waiting, 'waiting')
    metrics.setGauge('millrace_queue_jobs', sample?.prioritized, 'prioritized')
    metrics.setGauge('millrace_queue_jobs', sample?.active, 'active')
    const ageSeconds = sample && sample.oldestJobAgeMs / 1000
    metrics.setGauge('millrace_queue_oldest_job_age_seconds', ageSeconds)
    metrics.setGauge('millrace_queue_slots', sample?.slots)
  })
}
