import type { Client, Upload, UploadProgress } from '@millrace/client'
import { createBackoff } from '../network/backoff.ts'

/** What is told of the owner's uploads. */
export type UploadListener = {
  /** The newest uploads, when the stream begins or changes were missed. */
  onSnapshot?: (uploads: Upload[], nextCursor: string | undefined) => void
  onUpload?: (upload: Upload) => void
  onErased?: (id: string) => void
  onProgress?: (progress: UploadProgress) => void
}

/**
 * One stream of server-sent events for all that follow the owner's uploads: browsers open six connections to a host
 * (HTTP/1.1). It is open while somebody listens. If the API refuses it, it is opened again after a while, or with the next listener.
 */
export function createUploadStream({ client }: { client: Pick<Client, 'watch'> }) {
  const listeners = new Set<UploadListener>()
  const backoff = createBackoff({ onEnd: connectIfNeeded })
  let open: AbortController | undefined

  return {
    /** @returns a function that ends it */
    listen(listener: UploadListener): () => void {
      listeners.add(listener)
      connectIfNeeded()
      return () => {
        listeners.delete(listener)
        if (listeners.size > 0) return
        open?.abort()
        open = undefined
      }
    },
  }

  function connectIfNeeded(): void {
    if (!open && listeners.size > 0) connect()
  }

  function connect(): void {
    const own = new AbortController()
    open = own
    const tell = (call: (listener: UploadListener) => void) => {
      for (const listener of [...listeners]) call(listener)
    }
    const ended = client.watch({
      signal: own.signal,
      onSnapshot: (uploads, nextCursor) => {
        backoff.reset()
        tell((each) => each.onSnapshot?.(uploads, nextCursor))
      },
      onChange: (upload) => tell((each) => each.onUpload?.(upload)),
      onErased: ({ id }) => tell((each) => each.onErased?.(id)),
      onProgress: (progress) => tell((each) => each.onProgress?.(progress)),
    })
    ended
      .catch((error) => console.warn(error))
      .finally(() => {
        if (open !== own) return
        open = undefined
        backoff.wait(0)
      })
  }
}

export type UploadStream = ReturnType<typeof createUploadStream>
