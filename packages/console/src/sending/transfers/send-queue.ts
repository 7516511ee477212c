import type { Connection } from '../network/connection.ts'
import type { Cancellation } from './cancellation.ts'
import type { FollowUploads } from './follow-uploads.ts'
import type { NetworkWaits } from './network-waits.ts'
import { nextToSend } from './next-to-send.ts'
import type { SendFailures } from './send-failures.ts'
import type { SendTasks } from './send-tasks.ts'
import type { SendingList } from './sending-list.ts'

/** Starts files when their turn comes. Nothing starts before it is opened. */
export function createSendQueue(deps: {
  list: SendingList
  connection: Connection
  tasks: SendTasks
  failures: SendFailures
  cancellation: Cancellation
  waits: NetworkWaits
  uploads: FollowUploads
}) {
  const { list, connection, tasks, failures, cancellation, waits, uploads } = deps
  let isOpen = false
  let isScheduled = false

  function run(): void {
    isScheduled = false
    if (isOpen && connection.state.peek() === 'online' && !failures.isWaiting()) {
      for (const { key } of nextToSend(list.filter(({ key }) => !cancellation.isErasing(key)))) {
        tasks.start(key)
      }
    }
    waits.watchForStalls()
    uploads.listenIfNeeded()
  }

  return {
    /** The session is open. What waits starts with the next `schedule()`. */
    open(): void {
      isOpen = true
    },

    /** Starts what can be started, and follows what must be followed; once for all changes of a moment. */
    schedule(): void {
      if (isScheduled) return
      isScheduled = true
      queueMicrotask(run)
    },
  }
}
