import type { Client, Upload } from '@millrace/client'
import { computed } from '@preact/signals'
import type { Identity } from '../frame/identity.ts'
import { chooseFiles, type Source } from './choose-files.ts'
import { createInterruptedFiles, type InterruptedFiles } from './kept/interrupted-files.ts'
import { createKeptFiles } from './kept/kept-files.ts'
import { createConnection } from './network/connection.ts'
import { createTotalRate } from './network/total-rate.ts'
import { isDone, isUnsent, needsAttention, type SendingFile } from './sending-file.ts'
import { summaryOf } from './sending-summary.ts'
import { createAddFiles } from './transfers/add-files.ts'
import { askBeforeLeaving } from './transfers/ask-before-leaving.ts'
import { createBatches } from './transfers/batches.ts'
import { createCancellation } from './transfers/cancellation.ts'
import { createFollowUploads } from './transfers/follow-uploads.ts'
import { createNetworkWaits } from './transfers/network-waits.ts'
import { openSession } from './transfers/open-session.ts'
import { createPauseFiles } from './transfers/pause-files.ts'
import { createRestoreFiles } from './transfers/restore-files.ts'
import { createRetryFile } from './transfers/retry-file.ts'
import { createSendFailures } from './transfers/send-failures.ts'
import { createSendQueue } from './transfers/send-queue.ts'
import { createSendTasks } from './transfers/send-tasks.ts'
import { createSendingList } from './transfers/sending-list.ts'
import { createUploadStream, type UploadStream } from './transfers/upload-stream.ts'

/**
 * Sends files, and follows them until they are processed. Lives as long as the page.
 *
 * @param deps.identity opens the session before anything is sent
 * @param deps.stream follows the owner's uploads; shared with other rooms, so that a page has one
 * @param deps.records remember unsent files for the page after this one: in IndexedDB, unless a test has its own
 */
export function createSending(deps: {
  client: Client
  identity: Identity
  stream?: UploadStream
  records?: InterruptedFiles
}) {
  const {
    client,
    identity,
    stream = createUploadStream({ client }),
    records = createInterruptedFiles(),
  } = deps
  const list = createSendingList()
  const connection = createConnection({
    apiAnswers: async (signal) => (await client.api.GET('/health', { signal })).response.ok,
  })
  const totalRate = createTotalRate()
  const batches = createBatches({ list })
  const kept = createKeptFiles({ records, identity })
  const tasks = createSendTasks({ client, list, kept, records, connection, totalRate, onSent, onFailed })
  const failures = createSendFailures({ list, tasks, records, connection, schedule })
  const cancellation = createCancellation({ client, list, tasks, records, forget, schedule })
  const uploads = createFollowUploads({ client, list, stream, cancellation, schedule })
  const waits = createNetworkWaits({ list, connection, tasks, failures, totalRate })
  const queue = createSendQueue({ list, connection, tasks, failures, cancellation, waits, uploads })
  const { add, addUnreadable, bringBack } = createAddFiles({
    list,
    kept,
    records,
    batches,
    totalRate,
    tasks,
    failures,
    cancellation,
    schedule,
  })
  const { restore, goOn } = createRestoreFiles({
    client,
    list,
    kept,
    records,
    batches,
    bringBack,
    schedule,
  })
  const { pause, resume } = createPauseFiles({ list, tasks, records, schedule })
  const retry = createRetryFile({
    client,
    list,
    kept,
    batches,
    connection,
    tasks,
    failures,
    uploads,
    schedule,
  })
  const { cancel, dismiss } = cancellation

  askBeforeLeaving(list.shown)
  begin()

  return {
    files: list.shown,
    connection: connection.state,
    summary: computed(() => summaryOf(list.shown.value, batches.current(), totalRate.bytesPerSecond.value)),
    /** The bytes of a file, if this page has them. */
    bytesOf: kept.bytesOf,
    /** The bytes that an upload was made from, if this page has them. Reads no signal: they do not change. */
    bytesOfUpload(uploadId: string): File | undefined {
      const file = list.ofUpload(uploadId)
      return file && kept.bytesOf(file.key)
    },

    add,
    addUnreadable,
    choose: (source: Source): Promise<void> => chooseFiles(source, add),
    pause,
    resume,
    retry,
    cancel,
    goOn,
    dismiss,

    pauseAll: (): void => each(isUnsent, pause),
    resumeAll: (): void => each(({ phase }) => phase === 'paused', resume),
    /** Stops all that is not sent yet, and erases it. */
    cancelAll: (): void => each(isUnsent, cancel),
    /** Erases all uploads that earlier pages did not finish. */
    forgetAll: (): void => each(({ phase }) => phase === 'interrupted', cancel),
    /** Removes all files with which nothing happens any more. */
    dismissFinished: (): void => each((file) => isDone(file) || needsAttention(file), dismiss),
  }

  function each(isMeant: (file: SendingFile) => boolean, action: (key: string) => void): void {
    for (const { key } of list.filter(isMeant)) action(key)
  }

  /** Opens the session, and continues what earlier pages did not finish. */
  async function begin(): Promise<void> {
    const { createdAt } = await openSession(identity, () => connection.suspect())
    queue.open()
    // Files that were added before.
    kept.remember(list.filter(isUnsent))
    await restore(createdAt)
  }

  function schedule(): void {
    queue.schedule()
  }

  function onSent(key: string, upload: Upload): void {
    failures.resetDelay()
    records.forget([key])
    uploads.showSent(key, upload)
    schedule()
  }

  function onFailed(key: string, error: unknown): void {
    failures.onFailed(key, error)
  }

  /** Everything of a file that is kept beside the list. */
  function forget(key: string): void {
    for (const owner of [kept, tasks, failures, uploads]) owner.forget(key)
  }
}

export type Sending = ReturnType<typeof createSending>
