import { AutoScalingClient } from '@aws-sdk/client-auto-scaling'
import type { Logger } from 'pino'
import type { OldestJob } from '../jobs/oldest-job.ts'
import { createDrainInstance } from './drain-instance.ts'
import { createInstanceMetadata } from './instance-metadata.ts'
import { createScaleInProtection } from './scale-in-protection.ts'
import { createTerminationHook } from './termination-hook.ts'
import { createTerminationNotices, type TerminationNotice } from './termination-notices.ts'

/**
 * How much longer than the drain's deadline `leave` may take, in ms: jobs are handed back (3 s), and the group is called
 * with the SDK's retries.
 */
export const drainMarginMs = 20_000

/**
 * The worker's instance in an Auto Scaling group: holds it during long jobs, and ends the work in time when it gets a
 * termination notice. Without a termination hook there is no group, and nothing is watched.
 *
 * @param deps.drain finishes or hands back all jobs; `deadlineMs` as for `createDrainInstance`, in ms
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
  drain: (how: { deadlineMs: number; waitForPoll: boolean }) => Promise<void>
}) {
  const { log, oldestJob, drain } = deps
  const { terminationHook, metadataEndpoint, noticeIntervalMs, longWorkMs, drainDeadlineMs } = deps.config
  let leave = () => drain({ deadlineMs: drainDeadlineMs, waitForPoll: false })

  return {
    /**
     * Begins to watch.
     * @param service.stopping ends it
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
        drain: (deadlineMs) => drain({ deadlineMs, waitForPoll: true }),
        drainDeadlineMs,
      })
      const leaveAfter = (notice: TerminationNotice | undefined) => {
        if (!notice || stopping.aborted) return
        leave = () => drainInstance(notice)
        stop(notice.kind)
      }
      void protection.watch(stopping)
      void notices.first(stopping).then(leaveAfter)
    },

    /** Drains within the time that the instance has, and lets the group end it if that is what it waits for. */
    leave: (): Promise<void> => leave(),
  }
}
