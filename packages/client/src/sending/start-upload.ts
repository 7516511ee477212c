import { isRetryable } from '../api/retry.ts'
import type { Upload } from '../api/upload.ts'
import { announcementOf, isSameAnnouncement } from './announcement.ts'
import type { InterruptedUploads, TransferMemory } from './interrupted-uploads.ts'
import type { SendFile } from './send-file.ts'
import type { Slots } from './slots.ts'
import { newTransfer, type Transfer } from './transfer.ts'
import type { UploadRequests } from './upload-requests.ts'

export type UploadOptions = {
  /** Replaces the file's own name. */
  filename?: string
  /** Replaces the file's own media type. */
  contentType?: string
  preset?: string
  metadata?: Record<string, string>
  /** SHA-256 of the file, 64 hex digits. A file with another checksum is rejected. */
  sha256?: string
  /**
   * What happens if the same file was interrupted before, for example because the page was closed.
   *
   * - `auto`, the default: the same upload continues, if name, type, preset, metadata and checksum are the same. Needs the
   *   client's `storage`, which browsers have by default.
   * - `never`: the file is sent as a new upload, and another page cannot continue it.
   * - the id of an upload: that one continues, with the options that it was announced with.
   */
  resume?: 'auto' | 'never' | (string & {})
  /**
   * Only an upload of the same scope is resumed automatically. Set it if the same file may be sent for different users, or to
   * different places, which the API cannot tell from the other options.
   */
  resumeScope?: string
  /** Stops sending. What S3 has is kept, so that the upload can be resumed; `abort()` of the task erases it. */
  signal?: AbortSignal
  /** Called as soon as the upload has an id, and again in the rare case that the file must be sent as another upload. */
  onAnnounced?: (id: string) => void
  /** Called with the bytes sent so far and the size of the file. It never decreases. In Node, once per part. */
  onProgress?: (sentBytes: number, totalBytes: number) => void
}

/** A file that is being sent. */
export type UploadTask = {
  /** The upload's id, once it is announced. */
  readonly id: string | undefined
  /** `sending` also while it waits for other files of the client. */
  readonly state: 'sending' | 'paused' | 'sent' | 'failed' | 'aborted'
  /** Ends the requests to S3 at once. S3 keeps the parts that it has. */
  pause(): void
  /** Continues with what S3 does not have. */
  resume(): void
  /**
   * Ends all requests and erases the upload. `sent` rejects with the reason, an `AbortError` by default. A file that is sent
   * is not erased.
   *
   * @throws ApiProblem if the upload cannot be erased. It expires by itself
   */
  abort(reason?: unknown): Promise<void>
  /**
   * The upload, once S3 has all its bytes. Processing may not be finished yet.
   * Rejects with ApiProblem, SendError or the reason of the abort. It need not be handled.
   */
  readonly sent: Promise<Upload>
}

/**
 * Creates the function that starts to send a file.
 *
 * @param deps.files the files of the client that are sent at the same time
 */
export function createStartUpload(deps: {
  requests: UploadRequests
  sendFile: SendFile
  interrupted: InterruptedUploads
  files: Slots
}) {
  const { requests, sendFile, interrupted, files } = deps

  /**
   * Announces a file and sends it to S3.
   *
   * @param file a File or any other Blob, for example from `fs.openAsBlob()`
   */
  return function startUpload(file: Blob, options: UploadOptions = {}): UploadTask {
    const { resume = 'auto', resumeScope = '' } = options
    let state: UploadTask['state'] = 'sending'
    /** Aborts when the task ends before the file is sent. */
    const ending = new AbortController()
    /** Aborts when the task is paused. */
    let running = new AbortController()
    let continueRun = () => {}
    let transfer: Transfer = newTransfer(announcementOf(file, options))
    let memory: TransferMemory | undefined
    let hasBegun = false
    let announcedId: string | undefined
    let maxSentBytes = -1

    const onSignal = () => end('aborted', options.signal?.reason)
    options.signal?.addEventListener('abort', onSignal, { once: true })
    if (options.signal?.aborted) onSignal()
    const sent = run()
    // It is the caller's choice to follow the promise or the callbacks.
    sent.catch(() => undefined)

    return {
      get id() {
        return transfer.id
      },
      get state() {
        return state
      },
      sent,
      pause() {
        if (state !== 'sending') return
        state = 'paused'
        running.abort(new DOMException('The upload is paused.', 'AbortError'))
      },
      resume() {
        if (state !== 'paused') return
        state = 'sending'
        continueRun()
      },
      abort(reason) {
        const erased = erase(reason)
        // An error matters to those who wait for the promise.
        erased.catch(() => undefined)
        return erased
      },
    }

    async function run(): Promise<Upload> {
      try {
        const upload = await prepareAndSend()
        report(file.size)
        // A callback may have ended the task.
        ending.signal.throwIfAborted()
        state = 'sent'
        await memory?.remove()
        return upload
      } catch (error) {
        if (state !== 'aborted') state = 'failed'
        // A failed announcement leaves nothing to continue.
        if (transfer.id === undefined && state === 'failed') await memory?.remove()
        throw ending.signal.aborted ? ending.signal.reason : error
      } finally {
        options.signal?.removeEventListener('abort', onSignal)
        memory?.release()
      }
    }

    async function prepareAndSend(): Promise<Upload> {
      ending.signal.throwIfAborted()
      if (resume !== 'never') memory = await interrupted.open(file, resumeScope)
      await findTransfer()
      for (;;) {
        if (state === 'paused') await new Promise<void>((resolve) => (continueRun = resolve))
        ending.signal.throwIfAborted()
        running = new AbortController()
        const signal = AbortSignal.any([ending.signal, running.signal])
        try {
          return await files.run(signal, () => sendFile(file, transfer, { onChange, onSent, signal }))
        } catch (error) {
          ending.signal.throwIfAborted()
          if (!running.signal.aborted) throw error
        }
      }
    }

    /** Finds what an earlier page knew of this file, or what the API knows of the upload that the caller names. */
    async function findTransfer(): Promise<void> {
      const stored = await memory?.read()
      if (resume === 'auto' || resume === 'never') {
        if (stored && isSameAnnouncement(stored.announcement, transfer.announcement)) {
          transfer = { ...stored, isKnown: false }
        }
        return
      }
      const { id, size, expiresAt } = await requests.find(resume, ending.signal)
      if (size !== file.size) {
        throw new Error(`Upload ${id} expects a file of ${size} bytes; this file has ${file.size} bytes.`)
      }
      if (stored?.id === id) transfer = stored
      else transfer = { ...transfer, id, isInParts: true }
      transfer.isKnown = true
      if (expiresAt !== undefined) transfer.expiresAtMs = Date.parse(expiresAt)
      announcedId = id
    }

    function onChange(): void {
      hasBegun = true
      memory?.write(transfer)
      if (transfer.id === undefined || transfer.id === announcedId) return
      announcedId = transfer.id
      callBack(() => options.onAnnounced?.(transfer.id ?? ''))
    }

    function onSent(bytes: number): void {
      if (state === 'sending') report(bytes)
    }

    /** What is sent again does not count again. */
    function report(bytes: number): void {
      if (bytes <= maxSentBytes) return
      maxSentBytes = bytes
      callBack(() => options.onProgress?.(bytes, file.size))
    }

    /** An error of a callback ends the task, and does not look like one of the network. */
    function callBack(call: () => void): void {
      try {
        call()
      } catch (error) {
        end('failed', error)
      }
    }

    function end(outcome: 'failed' | 'aborted', reason: unknown): void {
      if (state === 'sent' || state === 'failed') return
      state = outcome
      ending.abort(reason)
      continueRun()
    }

    async function erase(reason: unknown): Promise<void> {
      if (state === 'sent') return
      if (state === 'failed') state = 'aborted'
      end('aborted', reason)
      await sent.catch(() => undefined)
      await memory?.remove()
      const id = transfer.id ?? (await findAnnouncedId())
      if (id !== undefined) await requests.erase(id, new AbortController().signal)
    }

    /** The announcement may have been aborted before its response came. The same key gets the same upload. */
    async function findAnnouncedId(): Promise<string | undefined> {
      if (!hasBegun) return undefined
      try {
        return (await requests.announce(transfer, new AbortController().signal)).id
      } catch (error) {
        // It was not announced, and cannot be.
        if (!isRetryable(error)) return undefined
        throw error
      }
    }
  }
}

export type StartUpload = ReturnType<typeof createStartUpload>
