import type { Client, Upload, UploadTask } from '@millrace/client'
import type { InterruptedFiles } from '../kept/interrupted-files.ts'
import type { KeptFiles } from '../kept/kept-files.ts'
import type { Connection } from '../network/connection.ts'
import type { TotalRate } from '../network/total-rate.ts'
import { createTransferRate, type TransferRate } from '../network/transfer-rate.ts'
import { isActive } from '../sending-file.ts'
import type { SendingList } from './sending-list.ts'

/** The last attempt to send a file. */
type Attempt = {
  task: UploadTask
  rate: TransferRate
  /** In ms since 1970. */
  progressAt: number
}

/**
 * Sends files by tasks of the client, and shows their progress. A file has one task at a time; of an earlier one, nothing is
 * heard any more.
 *
 * @param deps.onSent called when S3 has a file
 * @param deps.onFailed called when an attempt has failed
 */
export function createSendTasks(deps: {
  client: Pick<Client, 'startUpload' | 'erase'>
  list: SendingList
  kept: KeptFiles
  records: InterruptedFiles
  connection: Connection
  totalRate: TotalRate
  onSent: (key: string, upload: Upload) => void
  onFailed: (key: string, error: unknown) => void
}) {
  const { client, list, kept, records, connection, totalRate, onSent, onFailed } = deps
  const attempts = new Map<string, Attempt>()

  function start(key: string): void {
    const bytes = kept.bytesOf(key)
    const file = list.get(key)
    if (!bytes || !file) return
    list.change(key, { phase: 'starting', problem: undefined, bytesPerSecond: undefined })
    const earlier = attempts.get(key)?.task
    const isPaused = earlier?.state === 'paused'
    const task = isPaused ? earlier : startTask(key, bytes, file.filename)
    attempts.set(key, { task, rate: createTransferRate(), progressAt: Date.now() })
    if (isPaused) task.resume()
  }

  function startTask(key: string, bytes: File, filename: string): UploadTask {
    let isFirst = true
    const isCurrent = () => attempts.get(key)?.task === task
    const task: UploadTask = client.startUpload(bytes, {
      filename,
      onAnnounced: (id) => isCurrent() && onAnnounced(key, id),
      onProgress(sentBytes) {
        if (!isCurrent()) return
        // Parts that S3 had before are not part of the rate.
        onProgress(key, sentBytes, { isFirst })
        isFirst = false
      },
    })
    task.sent.then(
      (upload) => isCurrent() && onSent(key, upload),
      (error: unknown) => isCurrent() && onFailed(key, error),
    )
    return task
  }

  function onAnnounced(key: string, uploadId: string): void {
    const earlier = list.get(key)?.uploadId
    list.change(key, { uploadId })
    records.update(key, { uploadId })
    // The file was changed, or sent too late. The part of it that S3 has is of no use.
    if (earlier !== undefined && earlier !== uploadId) client.erase(earlier).catch(() => undefined)
  }

  function onProgress(key: string, sentBytes: number, { isFirst }: { isFirst: boolean }): void {
    const attempt = attempts.get(key)
    const file = list.get(key)
    if (!attempt || !file || !isActive(file)) return
    totalRate.add(isFirst ? 0 : Math.max(0, sentBytes - file.sentBytes))
    attempt.progressAt = Date.now()
    const rate = attempt.rate.update(sentBytes)
    // A browser may report the last bytes after it has told that the network is gone.
    const phase = connection.state.peek() === 'offline' ? file.phase : 'sending'
    list.change(key, { phase, sentBytes, bytesPerSecond: rate })
  }

  return {
    /** Starts to send a file whose bytes are here, or continues its paused task. */
    start,

    pause(key: string): void {
      attempts.get(key)?.task.pause()
    },

    /** Counts the time without progress from now on. */
    expectProgress(key: string): void {
      const attempt = attempts.get(key)
      if (attempt) attempt.progressAt = Date.now()
    },

    /** Makes a task continue now that waits for its next attempt. */
    hurry(key: string): void {
      const task = attempts.get(key)?.task
      task?.pause()
      task?.resume()
    },

    /** Ends the task and erases its upload. @returns undefined if there is no task */
    abort(key: string): Promise<void> | undefined {
      const task = attempts.get(key)?.task
      attempts.delete(key)
      return task?.abort()
    },

    /** Forgets a task that has ended. */
    forget(key: string): void {
      attempts.delete(key)
    },

    stateOf: (key: string): UploadTask['state'] | undefined => attempts.get(key)?.task.state,

    /** The time since the last progress, in ms. */
    idleMs: (key: string): number => Date.now() - (attempts.get(key)?.progressAt ?? 0),

    /** Whether a file's bytes are here, and not in S3. */
    canBeSent(key: string): boolean {
      const { phase } = list.get(key) ?? {}
      const hasEnded = phase === 'cancelled' || phase === 'failed'
      return hasEnded && kept.bytesOf(key) !== undefined && attempts.get(key)?.task.state !== 'sent'
    },
  }
}

export type SendTasks = ReturnType<typeof createSendTasks>
