import type { Client } from 'openapi-fetch'
import type { paths } from '../api/api-types.ts'
import { createSending } from '../sending/sending.ts'
import type { Upload, UploadOptions } from '../sending/upload.ts'

/** A file that is being sent. */
export type UploadTask = {
  /** The upload's id, once it is announced. */
  readonly id: string | undefined
  readonly state: 'sending' | 'paused' | 'sent' | 'failed' | 'aborted'
  pause(): void
  resume(): void
  /** Stops sending, and erases what was announced. */
  abort(): Promise<void>
  /** The upload, once S3 has all its bytes. Rejects if it fails or is aborted. */
  readonly sent: Promise<Upload>
}

/**
 * Starts to send a file as soon as the app's backend allows it.
 *
 * @param open asks the backend, and returns the API to send it to
 */
export function startRouteTask(
  open: (signal: AbortSignal) => Promise<{ api: Client<paths>; options: UploadOptions }>,
  file: Blob,
  signal: AbortSignal | undefined,
): UploadTask {
  const stop = new AbortController()
  const stopSignal = signal ? AbortSignal.any([stop.signal, signal]) : stop.signal
  let state: UploadTask['state'] = 'sending'
  let id: string | undefined
  let opened: { api: Client<paths>; options: UploadOptions } | undefined

  async function send(): Promise<Upload> {
    opened = await open(stopSignal)
    const { api, options } = opened
    return createSending({ api }).upload(file, {
      ...options,
      signal: stopSignal,
      onAnnounced(announcedId) {
        id = announcedId
        options.onAnnounced?.(announcedId)
      },
    })
  }

  const sent = send().then(
    (upload) => {
      state = 'sent'
      return upload
    },
    (error) => {
      state = stopSignal.aborted ? 'aborted' : 'failed'
      throw error
    },
  )
  // Whoever awaits `sent` gets the error.
  sent.catch(() => undefined)

  return {
    get id() {
      return id
    },
    get state() {
      return state
    },
    pause() {},
    resume() {},
    async abort() {
      stop.abort()
      await sent.catch(() => undefined)
      if (id !== undefined && opened) await opened.api.DELETE('/uploads/{id}', { params: { path: { id } } })
    },
    sent,
  }
}
