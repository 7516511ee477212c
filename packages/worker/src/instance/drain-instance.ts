import type { TerminationHook } from './termination-hook.ts'
import type { TerminationNotice, TerminationNotices } from './termination-notices.ts'

/** The part of a Spot instance's last two minutes that is reserved for handing back jobs and for shutdown, in ms. */
const spotReserveMs = 15_000
/** A third of the shortest timeout of a lifecycle hook, which is 30 s. In ms. */
export const defaultHeartbeatMs = 10_000

/**
 * Drains an instance after its termination notice. Until it is drained, heartbeats extend the group's wait. Then the
 * termination hook is completed.
 *
 * @param deps.drainWorker finishes or hands back all jobs within `deadlineMs`. If it fails, the hook is completed
 *   nevertheless: other workers take the jobs
 * @param deps.drainDeadlineMs how long active jobs may take, in ms
 */
export function createDrainInstance(deps: {
  notices: TerminationNotices
  hook: TerminationHook
  drainWorker: (deadlineMs: number) => Promise<void>
  drainDeadlineMs: number
  heartbeatMs?: number
}) {
  const { notices, hook, drainWorker, drainDeadlineMs, heartbeatMs = defaultHeartbeatMs } = deps

  return async function drainInstance(notice: TerminationNotice): Promise<void> {
    if (notice.kind === 'spot-interruption') {
      const remainingMs = Math.max(0, notice.atMs - Date.now() - spotReserveMs)
      try {
        await drainWorker(Math.min(drainDeadlineMs, remainingMs))
      } finally {
        // The group may have detected the interruption too, and may be waiting for the hook.
        if (await notices.isTargetStateTerminated().catch(() => false)) await hook.complete()
      }
      return
    }
    let heartbeat = hook.heartbeat()
    const heartbeatTimer = setInterval(() => {
      heartbeat = hook.heartbeat()
    }, heartbeatMs)
    try {
      await drainWorker(drainDeadlineMs)
    } finally {
      clearInterval(heartbeatTimer)
      await heartbeat
      await hook.complete()
    }
  }
}
