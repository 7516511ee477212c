import { type AddedFile, filenameOf } from '../added-file.ts'
import type { InterruptedFiles } from '../kept/interrupted-files.ts'
import type { KeptFiles } from '../kept/kept-files.ts'
import type { TotalRate } from '../network/total-rate.ts'
import { isDone, type SendingFile } from '../sending-file.ts'
import type { Batches } from './batches.ts'
import type { Cancellation } from './cancellation.ts'
import type { SendFailures } from './send-failures.ts'
import type { SendTasks } from './send-tasks.ts'
import type { SendingList } from './sending-list.ts'

/**
 * Adds files to the list.
 *
 * @param deps.schedule starts what can be started
 */
export function createAddFiles(deps: {
  list: SendingList
  kept: KeptFiles
  records: InterruptedFiles
  batches: Batches
  totalRate: TotalRate
  tasks: SendTasks
  failures: SendFailures
  cancellation: Cancellation
  schedule: () => void
}) {
  const { list, kept, records, batches, totalRate, tasks, failures, cancellation, schedule } = deps

  function newFile(added: AddedFile): SendingFile {
    const key = newKey()
    kept.keep(key, added)
    const { size } = added.file
    const batch = batches.current()
    return { key, filename: filenameOf(added), size, phase: 'queued', sentBytes: 0, batch }
  }

  /** Sends an interrupted or failed file whose bytes are here again; or keeps it paused. */
  function bringBack(key: string, added: AddedFile, phase: 'queued' | 'paused' = 'queued'): void {
    if (!kept.renew(key, added)) return
    tasks.forget(key)
    failures.forget(key)
    list.change(key, { phase, problem: undefined, batch: batches.current() })
    records.update(key, { isPaused: phase === 'paused' })
  }

  return {
    /** Adds files. One that was interrupted or has failed goes on instead. */
    add(given: readonly (File | AddedFile)[]): void {
      if (batches.beginIfIdle()) {
        for (const { key } of list.filter(isDone)) cancellation.dismiss(key)
        totalRate.restart()
      }
      const known = list.filter(({ phase, key }) => {
        return phase === 'interrupted' || (phase === 'failed' && tasks.canBeSent(key))
      })
      const created: SendingFile[] = []
      for (const added of given.map((file) => (file instanceof File ? { file } : file))) {
        const index = kept.indexOfSame(known, added)
        const [same] = index < 0 ? [] : known.splice(index, 1)
        if (same) bringBack(same.key, added)
        else created.push(newFile(added))
      }
      list.add(created)
      kept.remember(created)
      schedule()
    },

    /** Shows files that the user gave and the browser cannot read. */
    addUnreadable(filenames: readonly string[]): void {
      const problem = 'The browser cannot read this file.'
      const batch = batches.current()
      list.add(
        filenames.map((filename) => {
          return { key: newKey(), filename, size: 0, phase: 'failed', sentBytes: 0, problem, batch }
        }),
      )
    },

    bringBack,
  }
}

/** `crypto.randomUUID` exists only in secure contexts, this works in all. */
function newKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join('-')
}

export type AddFiles = ReturnType<typeof createAddFiles>
