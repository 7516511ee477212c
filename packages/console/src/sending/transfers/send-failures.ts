import type { InterruptedFiles } from '../kept/interrupted-files.ts'
import { createBackoff } from '../network/backoff.ts'
import type { Connection } from '../network/connection.ts'
import type { SendingFile } from '../sending-file.ts'
import { describeFailure } from './describe-failure.ts'
import type { SendTasks } from './send-tasks.ts'
import type { SendingList } from './sending-list.ts'

/** A file that is refused more often than this has failed: others must have their turn. The network may be gone for ever. */
const maxRefusals = 4

/**
 * Decides what becomes of a file whose attempt has failed. After a temporary failure no file starts for a while.
 *
 * @param deps.schedule starts what can be started
 */
export function createSendFailures(deps: {
  list: SendingList
  tasks: SendTasks
  records: InterruptedFiles
  connection: Connection
  schedule: () => void
}) {
  const { list, tasks, records, connection, schedule } = deps
  /** How often the API or S3 refused a file for a reason that may pass. */
  const refusals = new Map<string, number>()
  const backoff = createBackoff({ onEnd: queueAgain })

  function queueAgain(): void {
    const isOver = ({ key, phase }: SendingFile) =>
      phase === 'waiting-for-network' && tasks.stateOf(key) === 'failed'
    for (const { key } of list.filter(isOver)) {
      list.change(key, { phase: 'queued', problem: undefined })
    }
    schedule()
  }

  return {
    onFailed(key: string, error: unknown): void {
      const { kind, problem, retryAfterMs } = describeFailure(error)
      const count = (refusals.get(key) ?? 0) + (problem === undefined ? 0 : 1)
      refusals.set(key, count)
      if (kind === 'temporary' && count <= maxRefusals) {
        list.change(key, { phase: 'waiting-for-network', problem })
        backoff.wait(retryAfterMs)
        connection.suspect()
      } else if (kind === 'erased') {
        records.forget([key])
        list.change(key, { phase: 'cancelled', uploadId: undefined, problem: 'It was deleted elsewhere.' })
      } else {
        list.change(key, { phase: 'failed', problem, retryable: true })
      }
      schedule()
    },

    /** Whether no file may start, because something failed that may succeed later. */
    isWaiting: backoff.isWaiting,

    /** Lets files start again, those that wait too. */
    endWait: backoff.end,

    /** Begins with the shortest delay again, the next time. */
    resetDelay: backoff.reset,

    /** Forgets how often a file was refused. */
    forget(key: string): void {
      refusals.delete(key)
    },
  }
}

export type SendFailures = ReturnType<typeof createSendFailures>
