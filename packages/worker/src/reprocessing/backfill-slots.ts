import { setTimeout as delay } from 'node:timers/promises'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'

/** How often the queue is asked while it has no room, in ms. A worker needs a second for a job. */
const pollMs = 500

/**
 * Takes places in the queue for jobs of backfill, and waits while there are none.
 *
 * @param deps.maxWaiting how many jobs of backfill may wait, whoever added them
 * @param deps.maxQueuedJobs the queue's own limit
 */
export function createBackfillSlots(deps: {
  queue: Pick<UploadQueue, 'backfillRoom'>
  maxWaiting: number
  maxQueuedJobs: number
}) {
  const { queue, maxWaiting, maxQueuedJobs } = deps
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
