import type { Client } from '@millrace/client'
import { askToRead, mayRead } from '../kept/file-handles.ts'
import type { InterruptedFile, InterruptedFiles } from '../kept/interrupted-files.ts'
import type { KeptFiles } from '../kept/kept-files.ts'
import type { SendingFile } from '../sending-file.ts'
import type { AddFiles } from './add-files.ts'
import type { Batches } from './batches.ts'
import { describeFailure } from './describe-failure.ts'
import type { SendingList } from './sending-list.ts'

/**
 * Shows the files that earlier pages did not finish, and opens them again.
 *
 * @param deps.schedule starts what can be started
 */
export function createRestoreFiles(deps: {
  client: Pick<Client, 'get'>
  list: SendingList
  kept: KeptFiles
  records: InterruptedFiles
  batches: Batches
  bringBack: AddFiles['bringBack']
  schedule: () => void
}) {
  const { client, list, kept, records, batches, bringBack, schedule } = deps

  /** An upload that S3 has, or that somebody erased, is not continued. Few have an id: three are sent at a time. */
  async function isStillUnsent({ key, uploadId }: InterruptedFile): Promise<boolean> {
    if (uploadId === undefined) return true
    const isUnsent = await client.get(uploadId).then(
      ({ state }) => state === 'awaiting',
      (error: unknown) => describeFailure(error).kind !== 'erased',
    )
    if (!isUnsent) records.forget([key])
    return isUnsent
  }

  function interruptedFile({ key, filename, size, uploadId, handle }: InterruptedFile): SendingFile {
    const reopens = handle !== undefined
    const batch = batches.current()
    return { key, filename, size, uploadId, reopens, phase: 'interrupted', sentBytes: 0, batch }
  }

  function isInterrupted(key: string): boolean {
    return list.get(key)?.phase === 'interrupted'
  }

  async function reopen(key: string, phase: 'queued' | 'paused' = 'queued'): Promise<void> {
    const { handle } = kept.handlesOf(key)
    if (!handle || !isInterrupted(key)) return
    const file = await handle.getFile().catch(() => undefined)
    // Meanwhile it may have been chosen, opened in another way, or forgotten.
    if (!isInterrupted(key)) return
    if (file) {
      batches.beginIfIdle()
      bringBack(key, { file, handle }, phase)
      list.change(key, { size: file.size })
    } else list.change(key, { reopens: false, problem: 'It was moved or removed.' })
    schedule()
  }

  return {
    /**
     * Takes over the files of earlier pages, and sends the rest of those that the browser may read.
     *
     * @param owner when the session began
     */
    async restore(owner: string): Promise<void> {
      const taken = await records.take(owner)
      const unsent = await Promise.all(taken.map(async (file) => ((await isStillUnsent(file)) ? [file] : [])))
      const found = unsent.flat().filter(({ key }) => list.get(key) === undefined)
      for (const record of found) kept.keepInterrupted(record)
      list.add(found.map(interruptedFile))
      for (const { key, handle, folder = handle, isPaused } of found) {
        if (folder && (await mayRead(folder).catch(() => false))) {
          await reopen(key, isPaused ? 'paused' : 'queued')
        }
      }
      schedule()
    },

    /** Opens interrupted files again, and sends the rest of them. Needs a click or a key: the browser may ask. */
    async goOn(keys: readonly string[]): Promise<void> {
      const allowed = new Map<FileSystemHandle, boolean>()
      for (const key of keys) {
        const { handle, folder = handle } = kept.handlesOf(key)
        if (!handle || !folder) continue
        const mayBeRead = allowed.get(folder) ?? (await askToRead(folder).catch(() => false))
        // The browser refuses to ask if the last click is some seconds ago. The next click asks.
        allowed.set(folder, mayBeRead)
        if (mayBeRead) await reopen(key)
      }
    },
  }
}
