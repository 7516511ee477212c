import type { components } from '../api/api-types.ts'
import { ApiProblem, SendError } from '../api/millrace-error.ts'
import { isFinished, type Upload } from '../api/upload.ts'
import { RouteError } from '../routes/route-error.ts'

type UploadProgress = components['schemas']['UploadProgress']

/** A file that is being sent: the part of an `UploadTask` that a list needs. */
export type SendingTask = {
  pause(): void
  resume(): void
  /** Stops sending and erases what was announced. */
  abort(): Promise<void>
  /** Resolves once S3 has all bytes. */
  readonly sent: Promise<Upload>
}

/** Sends files and follows their uploads: a client, or a route of a backend. */
export type Sender = {
  startUpload(
    file: File,
    options: {
      onAnnounced(id: string): void
      onProgress(sentBytes: number, totalBytes: number): void
    },
  ): SendingTask
  waitUntilFinished(
    id: string,
    options: { signal: AbortSignal; onProgress(progress: UploadProgress): void },
  ): Promise<Upload>
}

/** What a page shows of one file. Each change makes a new object; the functions stay the same. */
export type UploadItem = {
  /** Identifies the file in the list, also before it has an id: React's `key`. */
  readonly key: string
  readonly file: File
  /** The upload's id, once it is announced. */
  readonly id: string | undefined
  /**
   * `waiting`: its turn to be sent has not come. `processing`: S3 has all bytes and a worker inspects and renders them.
   * `ready`, `rejected` (the file's fault), `failed` (sending or processing failed) and `aborted` are final.
   */
  readonly state:
    | 'waiting'
    | 'sending'
    | 'paused'
    | 'processing'
    | 'ready'
    | 'rejected'
    | 'failed'
    | 'aborted'
  /** The share of the bytes that was sent, from 0 to 1. */
  readonly progress: number
  /** What a worker does at the moment, for example `rendering` with `done` 3 of `total` 5 variants. */
  readonly processing: UploadProgress | undefined
  /** The upload, once S3 has all its bytes. */
  readonly upload: Upload | undefined
  /** The rendered variants; empty unless the state is `ready`. */
  readonly variants: Upload['variants']
  /** Why the file was rejected, or what failed. `code` is one of the API's or of the route's, `send_failed` (S3) or
   * `unknown`. */
  readonly error: { readonly code: string; readonly message: string } | undefined
  /** Pauses sending. */
  readonly pause: () => void
  /** Continues a paused file, and sends a file again whose sending failed. */
  readonly resume: () => void
  /** Stops sending, and erases what was announced. Does nothing once S3 has all bytes. */
  readonly abort: () => void
  /** Removes the file from the list, and aborts it if it is not sent yet. An upload that was sent stays in Millrace. */
  readonly remove: () => void
}

/**
 * Creates one file of a list. It begins as `waiting`.
 *
 * @param deps.onChange called after each change; `isProgress` if only the number of sent bytes or the step of a worker changed
 * @param deps.onFinished called once with the upload, when it is `ready`, `rejected` or `failed`
 */
export function createUploadItem(deps: {
  key: string
  file: File
  sender: Sender
  onChange(isProgress: boolean): void
  onFinished(upload: Upload): void
  onRemove(): void
}) {
  const { key, file, sender, onChange, onFinished } = deps
  let task: SendingTask | undefined
  let following: AbortController | undefined
  let current: UploadItem = {
    ...{ key, file, id: undefined, state: 'waiting', progress: 0 },
    ...{ processing: undefined, upload: undefined, variants: [], error: undefined },
    ...{ pause, resume, abort, remove },
  }

  function change(fields: Partial<UploadItem>, isProgress = false) {
    current = { ...current, ...fields }
    onChange(isProgress)
  }

  /** Begins to send the file, if it waits. */
  function send(): void {
    if (current.state !== 'waiting') return
    // Before the first change is reported, which may make the list send what waits.
    current = { ...current, state: 'sending' }
    const own = sender.startUpload(file, {
      onAnnounced: (id) => change({ id }),
      onProgress: (sent, total) => change({ progress: total > 0 ? sent / total : 1 }, true),
    })
    task = own
    change({})
    own.sent.then(
      (upload) => onSent(own, upload),
      (error: unknown) => {
        // Aborted, or sent again.
        if (task === own) change({ state: 'failed', error: describeError(error) })
      },
    )
  }

  function onSent(own: SendingTask, upload: Upload) {
    if (task !== own) return
    task = undefined
    if (isFinished(upload)) finish(upload)
    else change({ id: upload.id, state: 'processing', progress: 1, upload })
  }

  function finish(upload: Upload) {
    const { id, state, variants, error } = upload
    if (state !== 'ready' && state !== 'rejected' && state !== 'failed') return
    change({ id, state, progress: 1, processing: undefined, upload, variants, error })
    onFinished(upload)
  }

  /** Follows the upload while it is processed. Resolves when it is finished, or not followed any more; never rejects. */
  async function follow(): Promise<void> {
    const { id } = current
    if (!mustBeFollowed() || id === undefined) return
    const own = new AbortController()
    const { signal } = own
    following = own
    try {
      finish(await sender.waitUntilFinished(id, { signal, onProgress }))
    } catch (error) {
      // The upload goes on. Only what becomes of it is not known here.
      if (!signal.aborted) change({ error: describeError(error) })
    } finally {
      if (following === own) following = undefined
    }
    function onProgress(processing: UploadProgress) {
      if (!signal.aborted) change({ processing }, true)
    }
  }

  function mustBeFollowed() {
    return current.state === 'processing' && !following && current.error === undefined
  }

  function stopFollowing() {
    following?.abort()
    following = undefined
  }

  function pause() {
    if (current.state !== 'sending') return
    task?.pause()
    change({ state: 'paused' })
  }

  function resume() {
    if (current.state === 'paused') {
      task?.resume()
      change({ state: 'sending' })
    } else if (current.state === 'failed' && current.upload === undefined) {
      change({ state: 'waiting', id: undefined, progress: 0, error: undefined })
    } else if (current.state === 'processing' && current.error) {
      change({ error: undefined })
    }
  }

  function abort() {
    const { state, upload } = current
    if (upload !== undefined || state === 'aborted') return
    const aborted = task
    task = undefined
    // What cannot be erased now expires by itself.
    aborted?.abort().catch(() => undefined)
    change({ state: 'aborted' })
  }

  function remove() {
    abort()
    stopFollowing()
    deps.onRemove()
  }

  const isFollowed = () => following !== undefined
  return { current: () => current, send, follow, isFollowed, mustBeFollowed, stopFollowing }
}

export type ListedItem = ReturnType<typeof createUploadItem>

function describeError(error: unknown): { code: string; message: string } {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof ApiProblem || error instanceof RouteError) return { code: error.code, message }
  return { code: error instanceof SendError ? 'send_failed' : 'unknown', message }
}
