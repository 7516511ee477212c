import type { Upload, UploadProgress } from '@millrace/client'
import { signal } from '@preact/signals'

/**
 * Delay before a stream that the server refused is opened again, in ms, plus a random part of it. An EventSource gives up
 * after an error response and does not expose its `Retry-After`; the API sends 5 s if it has too many streams.
 */
const refusedDelayMs = 5_000

/**
 * Follows uploads over one stream of server-sent events: those of this session or user (`GET /events`), or those of all
 * users of the tenant. A hidden page closes its stream: browsers open at most six connections to a host (HTTP/1.1), shared
 * by all tabs.
 *
 * @param deps.onOpened called whenever changes may have been missed: at the beginning, and after each gap. The stream of one
 *   owner begins with the newest uploads, and with a cursor if there are older ones
 * @param deps.onUpload called with each upload that changed
 * @param deps.onErased called with the id of each erased upload
 * @param deps.onProgress called with some steps of uploads that are being processed
 */
export function createOwnerEvents(deps: {
  onOpened: (newest: { uploads: Upload[]; nextCursor?: string } | undefined) => void
  onUpload: (upload: Upload) => void
  onErased: (id: string) => void
  onProgress: (progress: UploadProgress) => void
}) {
  let stream: EventSource | undefined
  let reconnectTimer: ReturnType<typeof setTimeout> | undefined
  let path: string | undefined
  const isLost = signal(false)

  document.addEventListener('visibilitychange', updateConnection)
  addEventListener('online', updateConnection)

  return {
    /** Whether the page does not get changes at the moment, although it should. */
    isLost,

    /** Opens the stream, in place of the current one. It reopens whenever the page becomes visible. */
    open({ ofAllUsers }: { ofAllUsers: boolean }): void {
      path = ofAllUsers ? 'events?users=all' : 'events'
      // Also in a hidden page, so that a page opened in the background is up to date.
      connect()
    },
  }

  function updateConnection(): void {
    close()
    if (path !== undefined && !document.hidden) connect()
  }

  function connect(): void {
    close()
    if (path === undefined) return
    const current = new EventSource(path)
    stream = current
    current.addEventListener('snapshot', ({ data }: MessageEvent<string>) => {
      deps.onOpened(JSON.parse(data))
    })
    // The stream of all users begins with `opened`.
    for (const name of ['opened', 'missed']) current.addEventListener(name, () => deps.onOpened(undefined))
    current.addEventListener('upload', ({ data }: MessageEvent<string>) => {
      deps.onUpload(JSON.parse(data))
    })
    current.addEventListener('erased', ({ data }: MessageEvent<string>) => {
      const { id }: { id: string } = JSON.parse(data)
      deps.onErased(id)
    })
    current.addEventListener('progress', ({ data }: MessageEvent<string>) => {
      deps.onProgress(JSON.parse(data))
    })
    current.addEventListener('open', () => {
      isLost.value = false
    })
    current.addEventListener('error', () => {
      isLost.value = true
      // In any other state the browser reconnects by itself.
      if (current.readyState !== EventSource.CLOSED) return
      reconnectTimer = setTimeout(updateConnection, refusedDelayMs * (1 + Math.random()))
    })
  }

  function close(): void {
    clearTimeout(reconnectTimer)
    stream?.close()
    stream = undefined
  }
}

export type OwnerEvents = ReturnType<typeof createOwnerEvents>
