import type { Client } from '@millrace/client'
import type { InterruptedFiles } from '../kept/interrupted-files.ts'
import { isDone, isUnsent, needsAttention } from '../sending-file.ts'
import type { SendTasks } from './send-tasks.ts'
import type { SendingList } from './sending-list.ts'

/**
 * Cancels files, and removes them from the list.
 *
 * @param deps.forget forgets everything that the page has of a file
 * @param deps.schedule starts what can be started
 */
export function createCancellation(deps: {
  client: Pick<Client, 'erase'>
  list: SendingList
  tasks: SendTasks
  records: InterruptedFiles
  forget: (key: string) => void
  schedule: () => void
}) {
  const { client, list, tasks, records, forget, schedule } = deps
  /** Erasures that have not ended. The same file must not be sent again before. */
  const erasures = new Map<string, Promise<unknown>>()

  /** Stops sending a file, and erases what there is of it. An interrupted file is forgotten. */
  function cancel(key: string): void {
    const file = list.get(key)
    if (!file) return
    if (!(isUnsent(file) || file.phase === 'interrupted' || tasks.canBeSent(key))) return
    stop(key)
    if (file.phase === 'interrupted') remove(key)
    else list.change(key, { phase: 'cancelled', uploadId: undefined, bytesPerSecond: undefined })
    schedule()
  }

  /** Stops sending a file, and erases what S3 has of it. */
  function stop(key: string): void {
    const { uploadId } = list.get(key) ?? {}
    records.forget([key])
    const erased = tasks.abort(key) ?? (uploadId === undefined ? undefined : client.erase(uploadId))
    // What cannot be erased now expires by itself.
    const ended = Promise.allSettled([erasures.get(key), erased]).then(() => {
      if (erasures.get(key) === ended) erasures.delete(key)
      schedule()
    })
    erasures.set(key, ended)
  }

  /** Removes a file from the list, if nothing happens with it any more. What is left of a failed file is erased. */
  function dismiss(key: string): void {
    const file = list.get(key)
    if (!file || !(isDone(file) || needsAttention(file))) return
    if (file.phase === 'failed' && tasks.canBeSent(key)) stop(key)
    remove(key)
  }

  function remove(key: string): void {
    records.forget([key])
    forget(key)
    list.remove([key])
  }

  return { cancel, stop, dismiss, remove, isErasing: (key: string): boolean => erasures.has(key) }
}

export type Cancellation = ReturnType<typeof createCancellation>
