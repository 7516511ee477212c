import type { Client, Upload, UploadTask } from '@millrace/client'
import { computed, effect, signal } from '@preact/signals'
import type { Identity } from '../frame/identity.ts'
import { type AddedFile, filenameOf } from './added-file.ts'
import { chooseFiles, type Source } from './choose-files.ts'
import { createConnection } from './connection.ts'
import { describeFailure } from './describe-failure.ts'
import { askToRead, mayRead } from './file-handles.ts'
import { createInterruptedFiles, type InterruptedFile } from './interrupted-files.ts'
import { nextToSend } from './next-to-send.ts'
import { isActive, isDone, isProcessed, isUnsent, needsAttention, type SendingFile } from './sending-file.ts'
import { createSendingList } from './sending-list.ts'
import { summaryOf } from './sending-summary.ts'
import { createTransferRate } from './transfer-rate.ts'
import { createUploadStream, type UploadStream } from './upload-stream.ts'

/** A file without progress for this long makes the page ask whether the API answers, in ms. */
const stalledMs = 3_000
/** Delays after temporary failures, in ms: doubled from the first to the last. */
const firstDelayMs = 1_000
const maxDelayMs = 30_000
/** A file that is refused more often than this has failed: others must have their turn. The network may be gone for ever. */
const maxRefusals = 4
/** Delay before the session is opened again, in ms. */
const openDelayMs = 2_000

/** What this page has of a file, beside what it shows. */
type Transfer = {
  added?: AddedFile
  name: string
  lastModified: number
  addedAt: number
  handle?: FileSystemFileHandle
  folder?: FileSystemDirectoryHandle
  /** Of the last attempt. */
  task?: UploadTask
  /** The end of an erasure. The same file must not be sent again before. */
  erasing?: Promise<unknown>
  /** What the stream told of its upload before the file was sent. */
  early?: Upload
  rate?: ReturnType<typeof createTransferRate>
  /** How often the API or S3 refused it for a reason that may pass. */
  refusals?: number
  progressAt: number
}

/**
 * Sends files, and follows them until they are processed. Lives as long as the page.
 *
 * @param deps.identity opens the session before anything is sent
 * @param deps.stream follows the owner's uploads; shared with other rooms, so that a page has one
 */
export function createSending(deps: { client: Client; identity: Identity; stream?: UploadStream }) {
  const { client, identity, stream = createUploadStream({ client }) } = deps
  const list = createSendingList()
  const transfers = new Map<string, Transfer>()
  const interrupted = createInterruptedFiles()
  const connection = createConnection({
    apiAnswers: async (signal) => (await client.api.GET('/health', { signal })).response.ok,
  })
  /** Of all files, in bytes per second. */
  const bytesPerSecond = signal<number | undefined>(undefined)
  let totalRate = createTransferRate()
  let sentTotal = 0
  let batch = 0
  let isOpen = false
  let isScheduled = false
  let lastAddedAt = 0
  let failures = 0
  let holdTimer: ReturnType<typeof setTimeout> | undefined
  let stallTimer: ReturnType<typeof setInterval> | undefined
  let stopListening: (() => void) | undefined
  let previousConnection = connection.state.peek()

  connection.state.subscribe(onConnection)
  effect(askBeforeLeaving)
  restore()

  return {
    files: list.shown,
    connection: connection.state,
    summary: computed(() => summaryOf(list.shown.value, batch, bytesPerSecond.value)),
    /** The bytes of a file, if this page has them. */
    bytesOf: (key: string): File | undefined => transfers.get(key)?.added?.file,
    /** The bytes that an upload was made from, if this page has them. Reads no signal: they do not change. */
    bytesOfUpload(uploadId: string): File | undefined {
      const file = list.ofUpload(uploadId)
      return file && transfers.get(file.key)?.added?.file
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
    for (const { key } of [...list.all()].filter(isMeant)) action(key)
  }

  /** Adds files. One that was interrupted or has failed goes on instead. */
  function add(given: readonly (File | AddedFile)[]): void {
    const unsent = [...list.all()].filter(isUnsent)
    if (unsent.length === 0) {
      each(isDone, dismiss)
      batch += 1
      totalRate = createTransferRate()
    }
    const known = [...list.all()].filter(({ phase, key }) => {
      return phase === 'interrupted' || (phase === 'failed' && canBeSent(key))
    })
    const created: SendingFile[] = []
    for (const added of given.map((file) => (file instanceof File ? { file } : file))) {
      const index = indexOfSame(known, added)
      const [same] = index < 0 ? [] : known.splice(index, 1)
      if (same) bringBack(same.key, added)
      else created.push(newFile(added))
    }
    list.add(created)
    interrupted.remember(created.map(({ key }) => recordOf(key)))
    schedule()
  }

  /** Shows files that the user gave and the browser cannot read. */
  function addUnreadable(filenames: readonly string[]): void {
    list.add(
      filenames.map((filename) => {
        const problem = 'The browser cannot read this file.'
        return { key: newKey(), filename, size: 0, phase: 'failed', sentBytes: 0, problem, batch }
      }),
    )
  }

  function newFile(added: AddedFile): SendingFile {
    const { file, handle, folder } = added
    const key = newKey()
    const { name, lastModified } = file
    // No two files have the same time, so that it tells their order.
    lastAddedAt = Math.max(Date.now(), lastAddedAt + 1)
    transfers.set(key, {
      ...{ added, name, lastModified, addedAt: lastAddedAt, progressAt: 0 },
      ...(handle && { handle }),
      ...(folder && { folder }),
    })
    return { key, filename: filenameOf(added), size: file.size, phase: 'queued', sentBytes: 0, batch }
  }

  /** Finds a file that was chosen again; also one of a folder that was chosen alone. */
  function indexOfSame(known: readonly SendingFile[], added: AddedFile): number {
    const { name, size, lastModified } = added.file
    const isSame = (file: SendingFile) => {
      const transfer = transfers.get(file.key)
      return file.size === size && transfer?.name === name && transfer.lastModified === lastModified
    }
    const exact = known.findIndex((file) => isSame(file) && file.filename === filenameOf(added))
    return exact >= 0 ? exact : known.findIndex(isSame)
  }

  /** Sends an interrupted or failed file whose bytes are here again. */
  function bringBack(key: string, added: AddedFile): void {
    const transfer = transfers.get(key)
    if (!transfer) return
    transfer.added = added
    delete transfer.task
    transfer.refusals = 0
    list.change(key, { phase: 'queued', problem: undefined, batch })
  }

  function recordOf(key: string): Omit<InterruptedFile, 'page'> {
    const { filename = '', size = 0 } = list.get(key) ?? {}
    const { lastModified = 0, addedAt = 0, handle, folder } = transfers.get(key) ?? {}
    const owner = identity.session.value?.createdAt ?? ''
    return {
      ...{ key, filename, size, lastModified, owner, addedAt },
      ...(handle && { handle }),
      ...(folder && { folder }),
    }
  }

  /** Starts what can be started, and follows what must be followed; once for all changes of a moment. */
  function schedule(): void {
    if (isScheduled) return
    isScheduled = true
    queueMicrotask(runSchedule)
  }

  function runSchedule(): void {
    isScheduled = false
    if (isOpen && connection.state.peek() === 'online' && holdTimer === undefined) {
      const startable = [...list.all()].filter(({ key }) => !transfers.get(key)?.erasing)
      for (const { key } of nextToSend(startable)) start(key)
    }
    watchForStalls()
    listenIfNeeded()
  }

  function start(key: string): void {
    const transfer = transfers.get(key)
    const file = list.get(key)
    if (!transfer?.added || !file) return
    list.change(key, { phase: 'starting', problem: undefined, bytesPerSecond: undefined })
    transfer.progressAt = Date.now()
    transfer.rate = createTransferRate()
    if (transfer.task?.state === 'paused') {
      transfer.task.resume()
      return
    }
    const bytes = transfer.added.file
    let isFirst = true
    const task: UploadTask = client.startUpload(bytes, {
      filename: file.filename,
      onAnnounced: (id) => transfer.task === task && onAnnounced(key, id),
      onProgress(sentBytes) {
        if (transfer.task !== task) return
        // Parts that S3 had before are not part of the rate.
        onProgress(key, sentBytes, { isFirst })
        isFirst = false
      },
    })
    transfer.task = task
    task.sent.then(
      (upload) => transfer.task === task && onSent(key, upload),
      (error: unknown) => transfer.task === task && onFailed(key, error),
    )
  }

  function onAnnounced(key: string, uploadId: string): void {
    const earlier = list.get(key)?.uploadId
    list.change(key, { uploadId })
    interrupted.update(key, { uploadId })
    // The file was changed, or sent too late. The part of it that S3 has is of no use.
    if (earlier !== undefined && earlier !== uploadId) client.erase(earlier).catch(() => undefined)
  }

  function onProgress(key: string, sentBytes: number, { isFirst }: { isFirst: boolean }): void {
    const transfer = transfers.get(key)
    const file = list.get(key)
    if (!transfer || !file || !isActive(file)) return
    if (!isFirst) sentTotal += Math.max(0, sentBytes - file.sentBytes)
    bytesPerSecond.value = totalRate.update(sentTotal)
    transfer.progressAt = Date.now()
    const rate = transfer.rate?.update(sentBytes)
    // A browser may report the last bytes after it has told that the network is gone.
    const phase = connection.state.peek() === 'offline' ? file.phase : 'sending'
    list.change(key, { phase, sentBytes, bytesPerSecond: rate })
  }

  function onSent(key: string, upload: Upload): void {
    const transfer = transfers.get(key)
    const file = list.get(key)
    if (!transfer || !file) return
    failures = 0
    interrupted.forget([key])
    const { early } = transfer
    const isNewer = early?.id === upload.id && Date.parse(early.updatedAt) > Date.parse(upload.updatedAt)
    list.change(key, { phase: 'sent', sentBytes: file.size, uploadId: upload.id, bytesPerSecond: undefined })
    showUpload(key, isNewer ? early : upload)
    schedule()
  }

  function onFailed(key: string, error: unknown): void {
    const { kind, problem, retryAfterMs } = describeFailure(error)
    const transfer = transfers.get(key)
    const refusals = (transfer?.refusals ?? 0) + (problem === undefined ? 0 : 1)
    if (transfer) transfer.refusals = refusals
    if (kind === 'temporary' && refusals <= maxRefusals) {
      list.change(key, { phase: 'waiting-for-network', problem })
      hold(retryAfterMs)
      connection.suspect()
    } else if (kind === 'erased') {
      interrupted.forget([key])
      list.change(key, { phase: 'cancelled', uploadId: undefined, problem: 'It was deleted elsewhere.' })
    } else {
      list.change(key, { phase: 'failed', problem, retryable: true })
    }
    schedule()
  }

  /** Lets nothing begin for a while, because something failed that may succeed later. */
  function hold(retryAfterMs: number): void {
    const delayMs = Math.min(firstDelayMs * 2 ** failures, maxDelayMs)
    failures += 1
    holdTimer ??= setTimeout(release, retryAfterMs + delayMs * (0.5 + Math.random() / 2))
  }

  function release(): void {
    clearTimeout(holdTimer)
    holdTimer = undefined
    for (const { key, phase } of [...list.all()]) {
      const isWaiting = phase === 'waiting-for-network' && transfers.get(key)?.task?.state === 'failed'
      if (isWaiting) list.change(key, { phase: 'queued', problem: undefined })
    }
    schedule()
  }

  function onConnection(state: typeof previousConnection): void {
    const previous = previousConnection
    previousConnection = state
    if (state === previous) return
    if (state !== 'online') {
      // The storage may be reachable although the API is not.
      each(isActive, (key) => {
        if (state === 'offline' || isStalled(key)) list.change(key, { phase: 'waiting-for-network' })
      })
      return
    }
    each(
      ({ phase }) => phase === 'waiting-for-network',
      (key) => {
        const { task } = transfers.get(key) ?? {}
        if (task?.state !== 'sending') return
        list.change(key, { phase: 'starting', problem: undefined })
        const transfer = transfers.get(key)
        if (transfer) transfer.progressAt = Date.now()
        // The client waits some time before its next attempt. After the browser was offline, it does not.
        if (previous !== 'unreachable') return
        task.pause()
        task.resume()
      },
    )
    failures = 0
    release()
  }

  function isStalled(key: string): boolean {
    return Date.now() - (transfers.get(key)?.progressAt ?? 0) >= stalledMs
  }

  /** An API that is gone is noticed before the client gives up. */
  function watchForStalls(): void {
    const isSending = [...list.all()].some(isActive)
    if (!isSending) {
      clearInterval(stallTimer)
      stallTimer = undefined
      bytesPerSecond.value = undefined
      return
    }
    stallTimer ??= setInterval(() => {
      const stalled = [...list.all()].filter((file) => isActive(file) && isStalled(file.key))
      if (stalled.length === 0 || connection.state.peek() === 'offline') return
      if (connection.state.peek() === 'online') connection.suspect()
      else for (const { key } of stalled) list.change(key, { phase: 'waiting-for-network' })
    }, stalledMs)
  }

  function listenIfNeeded(): void {
    const isNeeded = [...list.all()].some((file) => isActive(file) || isProcessed(file))
    if (isNeeded) {
      stopListening ??= stream.listen({ onSnapshot, onUpload, onErased, onProgress: onProcessing })
    } else {
      stopListening?.()
      stopListening = undefined
    }
  }

  /** A snapshot has the newest uploads only. */
  async function onSnapshot(uploads: Upload[]): Promise<void> {
    for (const upload of uploads) onUpload(upload)
    const told = new Set(uploads.map(({ id }) => id))
    for (const { uploadId } of [...list.all()].filter(isProcessed)) {
      if (uploadId === undefined || told.has(uploadId)) continue
      await client.get(uploadId).then(onUpload, () => undefined)
    }
  }

  function onUpload(upload: Upload): void {
    const file = list.ofUpload(upload.id)
    const transfer = file && transfers.get(file.key)
    if (!file || !transfer) return
    if (isProcessed(file)) showUpload(file.key, upload)
    else if (isUnsent(file)) transfer.early = upload
    listenIfNeeded()
  }

  function onProcessing(progress: NonNullable<SendingFile['progress']>): void {
    const file = list.ofUpload(progress.id)
    if (file && isProcessed(file)) list.change(file.key, { phase: 'processing', progress })
  }

  function onErased(uploadId: string): void {
    const file = list.ofUpload(uploadId)
    if (!file) return
    if (isUnsent(file)) {
      stop(file.key)
      list.change(file.key, { phase: 'cancelled', uploadId: undefined, problem: 'It was deleted elsewhere.' })
    } else remove(file.key)
    schedule()
  }

  function showUpload(key: string, { state, error }: Upload): void {
    if (state === 'awaiting') return
    list.change(key, {
      phase: state === 'received' ? 'sent' : state,
      ...(state !== 'processing' && { progress: undefined }),
      problem: error?.message,
      retryable: state === 'failed',
    })
  }

  function pause(key: string): void {
    const file = list.get(key)
    if (!file || !isUnsent(file)) return
    transfers.get(key)?.task?.pause()
    interrupted.update(key, { isPaused: true })
    list.change(key, { phase: 'paused', bytesPerSecond: undefined })
    schedule()
  }

  function resume(key: string): void {
    if (list.get(key)?.phase !== 'paused') return
    interrupted.update(key, { isPaused: false })
    list.change(key, { phase: 'queued' })
    schedule()
  }

  /** Tries again what failed, was cancelled, or waits. */
  async function retry(key: string): Promise<void> {
    const file = list.get(key)
    const transfer = transfers.get(key)
    if (!file || !transfer) return
    if (file.phase === 'waiting-for-network') {
      connection.suspect()
      release()
    } else if (canBeSent(key)) {
      transfer.refusals = 0
      list.change(key, { phase: 'queued', problem: undefined, sentBytes: 0, batch })
      interrupted.remember([recordOf(key)])
      schedule()
    } else if (file.phase === 'failed' && file.uploadId !== undefined) {
      list.change(key, { phase: 'sent', problem: undefined })
      listenIfNeeded()
      const failed = (error: unknown) =>
        list.change(key, {
          phase: 'failed',
          problem: describeFailure(error).problem ?? 'Cannot reach the server.',
        })
      await client.reprocess(file.uploadId).then(onUpload, failed)
    }
  }

  /** Whether a file's bytes are here, and not in S3. */
  function canBeSent(key: string): boolean {
    const { phase } = list.get(key) ?? {}
    const { added, task } = transfers.get(key) ?? {}
    return added !== undefined && (phase === 'cancelled' || phase === 'failed') && task?.state !== 'sent'
  }

  /** Stops sending a file, and erases what there is of it. An interrupted file is forgotten. */
  function cancel(key: string): void {
    const file = list.get(key)
    const transfer = transfers.get(key)
    if (!file || !transfer) return
    if (!(isUnsent(file) || file.phase === 'interrupted' || canBeSent(key))) return
    const erasing = stop(key).finally(() => {
      if (transfer.erasing === erasing) delete transfer.erasing
      schedule()
    })
    transfer.erasing = erasing
    if (file.phase === 'interrupted') remove(key)
    else list.change(key, { phase: 'cancelled', uploadId: undefined, bytesPerSecond: undefined })
    schedule()
  }

  function stop(key: string): Promise<unknown> {
    const { uploadId } = list.get(key) ?? {}
    const transfer = transfers.get(key)
    const task = transfer?.task
    if (transfer) delete transfer.task
    interrupted.forget([key])
    // What cannot be erased now expires by itself.
    if (task) return task.abort().catch(() => undefined)
    return uploadId === undefined ? Promise.resolve() : client.erase(uploadId).catch(() => undefined)
  }

  /** Removes a file from the list, if nothing happens with it any more. What is left of a failed file is erased. */
  function dismiss(key: string): void {
    const file = list.get(key)
    if (!file || !(isDone(file) || needsAttention(file))) return
    if (file.phase === 'failed' && canBeSent(key)) stop(key)
    remove(key)
  }

  function remove(key: string): void {
    interrupted.forget([key])
    transfers.delete(key)
    list.remove([key])
  }

  /** Opens interrupted files again, and sends the rest of them. Needs a click or a key: the browser may ask. */
  async function goOn(keys: readonly string[]): Promise<void> {
    const allowed = new Map<FileSystemHandle, boolean>()
    for (const key of keys) {
      const { handle, folder = handle } = transfers.get(key) ?? {}
      if (!handle || !folder) continue
      const mayBeRead = allowed.get(folder) ?? (await askToRead(folder))
      allowed.set(folder, mayBeRead)
      if (mayBeRead) await reopen(key)
    }
  }

  async function reopen(key: string, phase: 'queued' | 'paused' = 'queued'): Promise<void> {
    const transfer = transfers.get(key)
    if (!transfer?.handle || list.get(key)?.phase !== 'interrupted') return
    try {
      const file = await transfer.handle.getFile()
      if (![...list.all()].some(isUnsent)) batch += 1
      bringBack(key, { file, handle: transfer.handle })
      list.change(key, { phase, size: file.size })
    } catch {
      list.change(key, { reopens: false, problem: 'It was moved or removed.' })
    }
    schedule()
  }

  /** Opens the session, and shows the files that earlier pages did not finish. */
  async function restore(): Promise<void> {
    const { createdAt } = await openSession()
    isOpen = true
    // Files that were added before.
    interrupted.remember([...list.all()].filter(isUnsent).map(({ key }) => recordOf(key)))
    const taken = await interrupted.take(createdAt)
    const unsent = await Promise.all(taken.map(async (file) => ((await isStillUnsent(file)) ? [file] : [])))
    const found = unsent.flat().filter(({ key }) => list.get(key) === undefined)
    for (const record of found) {
      const { key, filename, lastModified, addedAt, handle, folder } = record
      const name = filename.split('/').at(-1) ?? filename
      transfers.set(key, {
        ...{ name, lastModified, addedAt, progressAt: 0 },
        ...(handle && { handle }),
        ...(folder && { folder }),
      })
    }
    list.add(
      found.map(({ key, filename, size, uploadId, handle }) => {
        const reopens = handle !== undefined
        return { key, filename, size, uploadId, reopens, phase: 'interrupted', sentBytes: 0, batch }
      }),
    )
    for (const { key, handle, folder = handle, isPaused } of found) {
      if (folder && (await mayRead(folder).catch(() => false))) {
        await reopen(key, isPaused ? 'paused' : 'queued')
      }
    }
    schedule()
  }

  async function openSession() {
    for (;;) {
      try {
        return await identity.open()
      } catch {
        connection.suspect()
        await new Promise((resolve) => setTimeout(resolve, openDelayMs))
      }
    }
  }

  /** An upload that S3 has, or that somebody erased, is not continued. Few have an id: three are sent at a time. */
  async function isStillUnsent({ key, uploadId }: InterruptedFile): Promise<boolean> {
    if (uploadId === undefined) return true
    const isUnsent = await client.get(uploadId).then(
      ({ state }) => state === 'awaiting',
      (error: unknown) => describeFailure(error).kind !== 'erased',
    )
    if (!isUnsent) interrupted.forget([key])
    return isUnsent
  }

  function askBeforeLeaving(): (() => void) | undefined {
    if (!list.shown.value.some(isUnsent)) return undefined
    const onBeforeUnload = (event: BeforeUnloadEvent) => event.preventDefault()
    addEventListener('beforeunload', onBeforeUnload)
    return () => removeEventListener('beforeunload', onBeforeUnload)
  }
}

/** `crypto.randomUUID` exists only in secure contexts, this works in all. */
function newKey(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join('-')
}

export type Sending = ReturnType<typeof createSending>
