import type { FinishedJobs } from '@millrace/shared/fleet/finished-jobs.ts'
import type { RecentActivity } from '@millrace/shared/fleet/recent-activity.ts'

/** Whether an attempt was the job's last one, whatever its outcome, or the job waits for another. */
export type AttemptEnd = 'finished' | 'unfinished'

/** Counts the jobs that this worker is at, and tells how long those took that came to their end. */
export function createActiveJobs(deps: { activity: RecentActivity; finishedJobs: FinishedJobs }) {
  return {
    /** An attempt begins. @returns a function to call once, at its end */
    begin() {
      const end = deps.activity.begin()
      return (how: AttemptEnd): void => {
        const ms = end(how === 'finished' ? 'measured' : 'unmeasured')
        // Redis away, the job itself cannot be told to have ended, either.
        if (how === 'finished') deps.finishedJobs.add(ms).catch(() => undefined)
      }
    },
  }
}

export type ActiveJobs = ReturnType<typeof createActiveJobs>

/** For jobs that hold none of the slots that the fleet scales on. */
export const uncountedActiveJobs: ActiveJobs = { begin: () => () => undefined }
