import type { FinishedJobs } from '@millrace/shared/fleet/finished-jobs.ts'
import type { RecentActivity } from '@millrace/shared/fleet/recent-activity.ts'

/** `finished` if the job has no further attempt, whatever its outcome; `unfinished` if it waits for another one. */
export type AttemptEnd = 'finished' | 'unfinished'

/** Counts the active jobs of this worker, and records the duration of finished ones. */
export function createActiveJobs(deps: { activity: RecentActivity; finishedJobs: FinishedJobs }) {
  return {
    /** Counts an attempt as active. @returns a function to call once, when the attempt ends */
    begin() {
      const endActivity = deps.activity.begin()
      return (end: AttemptEnd): void => {
        const ms = endActivity(end === 'finished' ? 'measured' : 'unmeasured')
        // Ignored: if Redis fails, BullMQ cannot record the end of the job either.
        if (end === 'finished') deps.finishedJobs.add(ms).catch(() => undefined)
      }
    },
  }
}

export type ActiveJobs = ReturnType<typeof createActiveJobs>

/** For jobs that use none of the slots by which the fleet scales. */
export const uncountedActiveJobs: ActiveJobs = { begin: () => () => undefined }
