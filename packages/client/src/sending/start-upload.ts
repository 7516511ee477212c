import type { SendFile } from './send-file.ts'
import { newTransfer, type Transfer } from './transfer.ts'
import type { Upload, UploadRequests } from './upload-requests.ts'

export type UploadOptions = {
  /** Replaces the file's own name. */
  filename?: string
  /** Replaces the file's own media type. */
  contentType?: string
  preset?: string
  metadata?: Record<string, string>
  /** SHA-256 of the file, 64 hex digits. A file with another checksum is rejected. */
  sha256?: string
  /** The id of an interrupted upload in parts: only the parts that S3 does not have are sent. */
  resume?: string
  /** Stops sending. What S3 has is kept, so that the upload can be resumed; `abort()` of the task erases it. */
  signal?: AbortSignal
  /** Called as soon as the upload has an id. With it, the upload can be resumed. */
  onAnnounced?: (id: string) => void
  /** Called with the bytes sent so far and the size of the file. It never decreases. In Node, once per part. */
  onProgress?: (sentBytes: number, totalBytes: number) => void
}

/** A file that is being sent. */
export type UploadTask = {
  /** The upload's id, once it is announced. */
  readonly id: string | undefined
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

/** Creates the function that starts to send a file. */
export function createStartUpload({ requests, sendFile }: { requests: UploadRequests; sendFile: SendFile }) {
  /**
   * Announces a file and sends it to S3.
   *
   * @param file a File or any other Blob, for example from `fs.openAsBlob()`
   */
  return function startUpload(file: Blob, options: UploadOptions = {}): UploadTask {
    let state: UploadTask['state'] = 'sending'
    const ending = new AbortController()
    let running = new AbortController()
    let resumed: { promise: Promise<void>; resolve: () => void } | undefined
    let announcedId: string | undefined
    let maxSentBytes = -1
    const transfer: Transfer = newTransfer(announcementOf(file, options))

    const onSignal = () => end(options.signal?.reason)
    if (options.signal?.aborted) onSignal()
    else options.signal?.addEventListener('abort', onSignal, { once: true })
    const sent = run().then(
      (upload) => {
        report(file.size)
        state = 'sent'
        return upload
      },
      (error: unknown) => {
        if (state !== 'aborted') state = 'failed'
        throw error
      },
    )
    sent.catch(() => undefined).finally(() => options.signal?.removeEventListener('abort', onSignal))

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
        resumed = deferred()
        running.abort(new DOMException('The upload is paused.', 'AbortError'))
      },
      resume() {
        if (state !== 'paused') return
        state = 'sending'
        resumed?.resolve()
      },
      abort(reason) {
        const erased = erase(reason)
        // An error matters to those who wait for the promise.
        erased.catch(() => undefined)
        return erased
      },
    }

    async function run(): Promise<Upload> {
      if (options.resume !== undefined) await prepareResume(options.resume)
      for (;;) {
        if (state === 'paused') await resumed?.promise
        ending.signal.throwIfAborted()
        running = new AbortController()
        const signal = AbortSignal.any([ending.signal, running.signal])
        try {
          return await sendFile(file, transfer, { onChange, onSent, signal })
        } catch (error) {
          ending.signal.throwIfAborted()
          if (!running.signal.aborted) throw error
        }
      }
    }

    async function prepareResume(id: string): Promise<void> {
      const upload = await requests.find(id, ending.signal)
      if (upload.size !== file.size) {
        throw new Error(
          `Upload ${id} expects a file of ${upload.size} bytes; this file has ${file.size} bytes.`,
        )
      }
      transfer.id = id
      transfer.isInParts = true
      transfer.expiresAtMs = Number.POSITIVE_INFINITY
      announcedId = id
    }

    function onChange(): void {
      if (transfer.id === undefined || transfer.id === announcedId) return
      announcedId = transfer.id
      options.onAnnounced?.(announcedId)
    }

    function onSent(bytes: number): void {
      if (state === 'sending') report(bytes)
    }

    /** What is sent again does not count again. */
    function report(bytes: number): void {
      if (bytes <= maxSentBytes) return
      maxSentBytes = bytes
      options.onProgress?.(bytes, file.size)
    }

    function end(reason: unknown): void {
      if (state === 'sent' || state === 'failed') return
      state = 'aborted'
      resumed?.resolve()
      ending.abort(reason)
    }

    async function erase(reason: unknown): Promise<void> {
      if (state === 'sent') return
      end(reason)
      await sent.catch(() => undefined)
      if (transfer.id !== undefined) await requests.erase(transfer.id, new AbortController().signal)
    }
  }
}

export type StartUpload = ReturnType<typeof createStartUpload>

function announcementOf(file: Blob, options: UploadOptions): Transfer['announcement'] {
  const { preset, metadata, sha256 } = options
  return {
    filename: options.filename ?? ('name' in file && typeof file.name === 'string' ? file.name : 'file'),
    contentType: options.contentType ?? (file.type || 'application/octet-stream'),
    size: file.size,
    transport: 'put',
    ...(preset !== undefined && { preset }),
    ...(metadata && { metadata }),
    ...(sha256 !== undefined && { sha256 }),
  }
}

/** `Promise.withResolvers` is missing in Node 20. */
function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {}
  const promise = new Promise<void>((settle) => {
    resolve = settle
  })
  return { promise, resolve }
}
