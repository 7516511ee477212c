import type { Client } from '@millrace/client'
import type { KeptFiles } from '../kept/kept-files.ts'
import type { Connection } from '../network/connection.ts'
import type { Batches } from './batches.ts'
import { describeFailure } from './describe-failure.ts'
import type { FollowUploads } from './follow-uploads.ts'
import type { SendFailures } from './send-failures.ts'
import type { SendTasks } from './send-tasks.ts'
import type { SendingList } from './sending-list.ts'

/**
 * Creates the function that tries again what failed, was cancelled, or waits.
 *
 * @param deps.schedule starts what can be started
 */
export function createRetryFile(deps: {
  client: Pick<Client, 'reprocess'>
  list: SendingList
  kept: KeptFiles
  batches: Batches
  connection: Connection
  tasks: SendTasks
  failures: SendFailures
  uploads: FollowUploads
  schedule: () => void
}) {
  const { client, list, kept, batches, connection, tasks, failures, uploads, schedule } = deps

  function sendAgain(key: string): void {
    failures.forget(key)
    list.change(key, { phase: 'queued', problem: undefined, sentBytes: 0, batch: batches.current() })
    kept.remember(list.filter((file) => file.key === key))
    schedule()
  }

  async function processAgain(key: string, uploadId: string): Promise<void> {
    list.change(key, { phase: 'sent', problem: undefined })
    uploads.listenIfNeeded()
    try {
      uploads.onUpload(await client.reprocess(uploadId))
    } catch (error) {
      const problem = describeFailure(error).problem ?? 'Cannot reach the server.'
      list.change(key, { phase: 'failed', problem })
    }
  }

  return async function retryFile(key: string): Promise<void> {
    const file = list.get(key)
    if (!file) return
    if (file.phase === 'waiting-for-network') {
      connection.suspect()
      failures.endWait()
    } else if (tasks.canBeSent(key)) sendAgain(key)
    else if (file.phase === 'failed' && file.uploadId !== undefined) await processAgain(key, file.uploadId)
  }
}
