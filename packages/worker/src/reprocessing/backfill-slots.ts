import { setTimeout as delay } from 'node:timers/promises'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'

/** How often the queue is asked while it has no room, in ms. A worker needs a second for a job. */
const pollMs = 500

/**
 * Jobs of backfill that may wait, whoever added them: enough for a fleet of a hundred workers, little for Redis (some 1.2 MB),
 * and requests to reprocess single uploads find room beside them. At most half of the queue's own limit.
 */
const maxWaitingJobs = 1_000

/**
 * Takes places in the queue for jobs of backfill, and waits while there are none.
 *
 * @param deps.maxQueuedJobs the queue's own limit
 */
export function createBackfillSlots(deps: {
  queue: Pick<UploadQueue, 'backfillRoom'>
  maxQueuedJobs: number
}) {
  const { queue, maxQueuedJobs } = deps
  const maxWaiting = Math.max(1, Math.min(maxWaitingJobs, Math.floor(maxQueuedJobs / 2)))
  let room = 0

  /** Resolves when a job may be added. @throws the signal's reason */
  return async function takeBackfillSlot(signal: AbortSignal): Promise<void> {
    while (room <= 0) {
      signal.throwIfAborted()
      const waiting = maxQueuedJobs - (await queue.backfillRoom())
      room = maxWaiting - waiting
      if (room <= 0) await delay(pollMs, undefined, { signal })
    }
    room -= 1
  }
}

export type TakeBackfillSlot = ReturnType<typeof createBackfillSlots>
