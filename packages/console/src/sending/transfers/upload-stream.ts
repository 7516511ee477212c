import type { Client, Upload, UploadProgress } from '@millrace/client'

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
 * (HTTP/1.1). It is open while somebody listens.
 */
export function createUploadStream({ client }: { client: Pick<Client, 'watch'> }) {
  const listeners = new Set<UploadListener>()
  let open: AbortController | undefined

  return {
    /** @returns a function that ends it */
    listen(listener: UploadListener): () => void {
      listeners.add(listener)
      if (!open) connect()
      return () => {
        listeners.delete(listener)
        if (listeners.size > 0) return
        open?.abort()
        open = undefined
      }
    },
  }

  function connect(): void {
    const own = new AbortController()
    open = own
    const tell = (call: (listener: UploadListener) => void) => {
      for (const listener of [...listeners]) call(listener)
    }
    const ended = client.watch({
      signal: own.signal,
      onSnapshot: (uploads, nextCursor) => tell((each) => each.onSnapshot?.(uploads, nextCursor)),
      onChange: (upload) => tell((each) => each.onUpload?.(upload)),
      onErased: ({ id }) => tell((each) => each.onErased?.(id)),
      onProgress: (progress) => tell((each) => each.onProgress?.(progress)),
    })
    // An API that refuses the stream: the next listener opens it again.
    ended
      .catch((error) => console.warn(error))
      .finally(() => {
        if (open === own) open = undefined
      })
  }
}

export type UploadStream = ReturnType<typeof createUploadStream>
