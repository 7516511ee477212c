import type { ProgressMessage } from '@millrace/shared/uploads/upload-progress.ts'
import type { UploadChange } from './upload-changes.ts'

/** Changes that wait for one stream. */
const maxWaiting = 100

/**
 * Creates the queue between the changes of an owner and one stream. The queue is bounded: if a client is too slow for the
 * changes, they are replaced by one `missed`, after which the stream reads the current state. A progress replaces an earlier
 * one of the same upload that still waits, and is dropped if the queue is full.
 *
 * @param signal ends the queue
 */
export function createChangeQueue(signal: AbortSignal) {
  let waiting: UploadChange[] = []
  let wake: (() => void) | undefined
  signal.addEventListener('abort', () => wake?.(), { once: true })

  return {
    add(change: UploadChange): void {
      const earlier = waiting.findIndex((one) => isSameWork(one, change))
      if (earlier >= 0) waiting[earlier] = change
      else if (waiting.length < maxWaiting) waiting.push(change)
      else if (!isProgress(change)) waiting = ['missed']
      wake?.()
    },

    /** Returns the next change, as soon as there is one. @throws the signal's reason after it aborted */
    async next(): Promise<UploadChange> {
      for (;;) {
        signal.throwIfAborted()
        const change = waiting.shift()
        if (change !== undefined) return change
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
  }
}

/** Whether a change is a progress. */
export function isProgress(change: UploadChange): change is ProgressMessage {
  return change !== 'missed' && 'progress' in change
}

/** Whether both are progress of the same upload, and its record did not change in between. */
function isSameWork(one: UploadChange, other: UploadChange): boolean {
  return (
    isProgress(one) &&
    isProgress(other) &&
    one.progress.id === other.progress.id &&
    one.revision === other.revision
  )
}
