import type { UploadChange } from './upload-changes.ts'

/** Changes that wait for one stream. */
const maxWaiting = 100

/**
 * Creates the queue between the changes of an owner and one stream. The queue is bounded: if a client is too slow for the
 * changes, they are replaced by one `missed`, after which the stream reads the current state.
 *
 * @param signal ends the queue
 */
export function createChangeQueue(signal: AbortSignal) {
  let waiting: UploadChange[] = []
  let wake: (() => void) | undefined
  signal.addEventListener('abort', () => wake?.(), { once: true })

  return {
    add(change: UploadChange): void {
      if (waiting.length < maxWaiting) waiting.push(change)
      else waiting = ['missed']
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
