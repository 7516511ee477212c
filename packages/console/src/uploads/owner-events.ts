import type { Upload, UploadProgress } from '@millrace/client'

/**
 * Delay before a stream that the server refused is opened again, in ms, plus a random part of it. An EventSource gives up
 * after an error response and does not expose its `Retry-After`; the API sends 5 s if it has too many streams.
 */
const refusedDelayMs = 5_000

/**
 * Follows all uploads of this browser's session over one stream of server-sent events (`GET /events`). Each
 * stream begins with a snapshot of the newest uploads, so a reconnect misses nothing. A hidden page closes
 * its stream: browsers open at most six connections to a host (HTTP/1.1), shared by all tabs.
 *
 * @param deps.onSnapshot called with the newest uploads, and with a cursor if there are older ones
 * @param deps.onUpload called with each upload that changed
 * @param deps.onErased called with the id of each erased upload
 * @param deps.onProgress called with some steps of uploads that are being processed
 */
export function createOwnerEvents(deps: {
  onSnapshot: (uploads: Upload[], nextCursor: string | undefined) => void
  onUpload: (upload: Upload) => void
  onErased: (id: string) => void
  onProgress: (progress: UploadProgress) => void
}) {
  let stream: EventSource | undefined
  let reconnectTimer: ReturnType<typeof setTimeout> | undefined
  let opened: PromiseWithResolvers<void> | undefined

  document.addEventListener('visibilitychange', updateConnection)

  return {
    /**
     * Opens the stream, and reopens it whenever the page becomes visible. Resolves after the first snapshot.
     *
     * @throws Error if the server refuses the stream; reconnecting goes on in the background
     */
    open(): Promise<void> {
      opened = Promise.withResolvers<void>()
      // Also in a hidden page, so that a page opened in the background loads its uploads.
      connect()
      return opened.promise
    },
  }

  function updateConnection(): void {
    close()
    if (opened && !document.hidden) connect()
  }

  function connect(): void {
    close()
    const current = new EventSource('events')
    stream = current
    current.addEventListener('snapshot', ({ data }: MessageEvent<string>) => {
      const { uploads, nextCursor }: { uploads: Upload[]; nextCursor?: string } = JSON.parse(data)
      deps.onSnapshot(uploads, nextCursor)
      opened?.resolve()
    })
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
    current.addEventListener('error', () => {
      // In any other state the browser reconnects by itself.
      if (current.readyState !== EventSource.CLOSED) return
      opened?.reject(new Error('The server refused the stream of events.'))
      reconnectTimer = setTimeout(updateConnection, refusedDelayMs * (1 + Math.random()))
    })
  }

  function close(): void {
    clearTimeout(reconnectTimer)
    stream?.close()
    stream = undefined
  }
}
