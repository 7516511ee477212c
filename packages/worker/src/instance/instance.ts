import { AutoScalingClient } from '@aws-sdk/client-auto-scaling'
import type { Logger } from 'pino'
import type { OldestJob } from '../jobs/oldest-job.ts'
import { createDrainInstance } from './drain-instance.ts'
import { createInstanceMetadata } from './instance-metadata.ts'
import { createScaleInProtection } from './scale-in-protection.ts'
import { createTerminationHook } from './termination-hook.ts'
import { createTerminationNotices, type TerminationNotice } from './termination-notices.ts'

/**
 * How much longer than the drain's deadline `drain` may take, in ms: jobs are handed back (3 s), and the Auto Scaling API
 * is called with the SDK's retries.
 */
export const drainMarginMs = 20_000

/**
 * Manages the worker's instance in an Auto Scaling group: protects it from scale-in during long jobs, and drains it in
 * time after a termination notice. Without a termination hook there is no group, and nothing is watched.
 *
 * @param deps.drainWorker finishes or hands back all jobs; `deadlineMs` as for `createDrainInstance`, in ms
 */
export function createInstance(deps: {
  config: {
    terminationHook: string | undefined
    metadataEndpoint: string
    noticeIntervalMs: number
    longWorkMs: number
    drainDeadlineMs: number
  }
  log: Logger
  oldestJob: Pick<OldestJob, 'ageMs'>
  drainWorker: (options: { deadlineMs: number; waitForPoll: boolean }) => Promise<void>
}) {
  const { log, oldestJob, drainWorker } = deps
  const { terminationHook, metadataEndpoint, noticeIntervalMs, longWorkMs, drainDeadlineMs } = deps.config
  let drain = () => drainWorker({ deadlineMs: drainDeadlineMs, waitForPoll: false })

  return {
    /**
     * Starts watching for termination notices and long jobs.
     * @param service.stopping ends both
     * @param service.stop is called after a termination notice, with its kind
     */
    watch(service: { stopping: AbortSignal; stop(why: string): void }): void {
      if (terminationHook === undefined) return
      const { stopping, stop } = service
      const metadata = createInstanceMetadata({ endpoint: metadataEndpoint })
      const notices = createTerminationNotices({ metadata, log, intervalMs: noticeIntervalMs })
      const autoScaling = new AutoScalingClient()
      const hook = createTerminationHook({ autoScaling, metadata, name: terminationHook, log })
      const protection = createScaleInProtection({
        autoScaling,
        metadata,
        oldestJob,
        longWorkMs,
        intervalMs: noticeIntervalMs,
        log,
      })
      const drainInstance = createDrainInstance({
        notices,
        hook,
        drainWorker: (deadlineMs) => drainWorker({ deadlineMs, waitForPoll: true }),
        drainDeadlineMs,
      })
      const onNotice = (notice: TerminationNotice | undefined) => {
        if (!notice || stopping.aborted) return
        drain = () => drainInstance(notice)
        stop(notice.kind)
      }
      void protection.watch(stopping)
      void notices.waitForFirst(stopping).then(onNotice)
    },

    /** Drains the worker in the time that the instance has left, and completes the termination hook if it is waiting. */
    drain: (): Promise<void> => drain(),
  }
}
