import type { TerminationHook } from './termination-hook.ts'
import type { TerminationNotice, TerminationNotices } from './termination-notices.ts'

/** How much of a Spot instance's last two minutes is left for handing back and for shutting down, in milliseconds. */
const spotReserveMs = 15_000
/** A third of the shortest timeout that a lifecycle hook can have, which is 30 s. In milliseconds. */
export const defaultHeartbeatMs = 10_000

/**
 * Ends the work of an instance that got its notice: drains, keeps the group waiting meanwhile, and tells it when
 * nothing is left.
 *
 * @param deps.drain finishes or hands back all work, within so many milliseconds. If it fails, the group can end the
 *   instance nevertheless: jobs are taken over
 * @param deps.drainDeadlineMs how long jobs under way may take
 */
export function createDrainInstance(deps: {
  notices: TerminationNotices
  hook: TerminationHook
  drain: (deadlineMs: number) => Promise<void>
  drainDeadlineMs: number
  heartbeatMs?: number
}) {
  const { notices, hook, drain, drainDeadlineMs, heartbeatMs = defaultHeartbeatMs } = deps

  return async function drainInstance(notice: TerminationNotice): Promise<void> {
    if (notice.kind === 'spot-interruption') {
      const leftMs = Math.max(0, notice.atMs - Date.now() - spotReserveMs)
      try {
        await drain(Math.min(drainDeadlineMs, leftMs))
      } finally {
        // The group may have noticed the interruption as well, and be waiting.
        if (await notices.isTargetStateTerminated().catch(() => false)) await hook.complete()
      }
      return
    }
    let beat = hook.heartbeat()
    const beats = setInterval(() => {
      beat = hook.heartbeat()
    }, heartbeatMs)
    try {
      await drain(drainDeadlineMs)
    } finally {
      clearInterval(beats)
      await beat
      await hook.complete()
    }
  }
}
