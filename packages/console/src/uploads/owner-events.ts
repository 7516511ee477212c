import type { Upload } from '@millrace/client'

/** Before a stream that the server closed is opened once more, in milliseconds. */
const reopenMs = 2_000

/**
 * Follows all uploads of this browser's session over one stream (`GET /events`). It begins with a snapshot of the
 * newest, so nothing is missed while there is none. A hidden page holds no stream: browsers open six connections
 * a host at most (HTTP/1.1), over all tabs.
 *
 * @param deps.onSnapshot gets the newest uploads, and a cursor where there are older ones
 * @param deps.onErased gets the id of an upload that is gone
 */
export function createOwnerEvents(deps: {
  onSnapshot: (uploads: Upload[], nextCursor: string | undefined) => void
  onUpload: (upload: Upload) => void
  onErased: (id: string) => void
}) {
  let stream: EventSource | undefined
  let reopening: ReturnType<typeof setTimeout> | undefined
  let first: PromiseWithResolvers<void> | undefined

  document.addEventListener('visibilitychange', listen)

  return {
    /**
     * Opens the stream, and again whenever the page is shown.
     * @throws Error where the server refuses it; it is tried again all the same
     */
    open(): Promise<void> {
      first = Promise.withResolvers<void>()
      // A page that was opened in the background is told its uploads all the same, once.
      connect()
      return first.promise
    },
  }

  function listen(): void {
    close()
    if (first && !document.hidden) connect()
  }

  function connect(): void {
    close()
    const current = new EventSource('/events')
    stream = current
    current.addEventListener('snapshot', ({ data }: MessageEvent<string>) => {
      const { uploads, nextCursor }: { uploads: Upload[]; nextCursor?: string } = JSON.parse(data)
      deps.onSnapshot(uploads, nextCursor)
      first?.resolve()
    })
    current.addEventListener('upload', ({ data }: MessageEvent<string>) => {
      deps.onUpload(JSON.parse(data))
    })
    current.addEventListener('erased', ({ data }: MessageEvent<string>) => {
      const { id }: { id: string } = JSON.parse(data)
      deps.onErased(id)
    })
    current.addEventListener('error', () => {
      // Otherwise the browser connects again by itself.
      if (current.readyState !== EventSource.CLOSED) return
      first?.reject(new Error('The server does not tell of changes.'))
      reopening = setTimeout(listen, reopenMs)
    })
  }

  function close(): void {
    clearTimeout(reopening)
    stream?.close()
    stream = undefined
  }
}
