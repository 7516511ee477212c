import type { Upload } from '../api/upload.ts'
import { createUploadItem, type ListedItem, type Sender, type UploadItem } from './upload-item.ts'

/** Files that are sent at the same time, by default. Each one sends several parts at a time. */
const defaultConcurrentFiles = 3
/** Uploads that are followed at the same time. Browsers open six connections to a server that speaks HTTP/1.1. */
const maxFollowed = 3
/** Changes of progress are shown at most this often, in ms. A browser reports them up to some hundred times a second. */
const progressPeriodMs = 100

export type UploadListOptions = {
  /** Files that are sent at the same time: 3 by default. */
  concurrentFiles?: number
  /**
   * What becomes of unfinished files when the component goes away. `continue`, the default: they are sent to the end, and are
   * followed again if the component comes back. `abort`: those that are not sent yet are aborted and erased.
   */
  onUnmount?: 'continue' | 'abort'
  /** Called once for each upload that ends as `ready`, `rejected` or `failed` while the component is there. */
  onFinished?: (upload: Upload) => void
}

/** What a page shows of all files. */
export type UploadListView = {
  readonly uploads: readonly UploadItem[]
  /** Whether any file waits or is being sent. */
  readonly isSending: boolean
  /** The share of all bytes that was sent, from 0 to 1, without files that failed or were aborted. 0 without any file. */
  readonly progress: number
}

export const emptyView: UploadListView = { uploads: [], isSending: false, progress: 0 }

/**
 * Creates a list of files that are sent and followed. It knows nothing of React, but has the form that
 * `useSyncExternalStore` needs: `view()` returns the same object until something changes.
 *
 * @param initial options until `configure` replaces them
 */
export function createUploadList(initial: UploadListOptions = {}) {
  let options = initial
  let items: ListedItem[] = []
  let added = 0
  let view = emptyView
  let progressTimer: ReturnType<typeof setTimeout> | undefined
  const listeners = new Set<() => void>()

  function configure(latest: UploadListOptions): void {
    options = latest
  }

  /** Adds files, and begins to send them. */
  function start(files: readonly File[], sender: Sender): void {
    for (const file of files) {
      added += 1
      const item: ListedItem = createUploadItem({
        ...{ key: `file-${added}`, file, sender, onChange },
        onFinished: (upload) => options.onFinished?.(upload),
        onRemove() {
          items = items.filter((each) => each !== item)
          onChange(false)
        },
      })
      items = [...items, item]
    }
    onChange(false)
  }

  function onChange(isProgress: boolean) {
    if (isProgress) {
      progressTimer ??= setTimeout(publish, progressPeriodMs)
      return
    }
    sendNext()
    followNext()
    publish()
  }

  function publish() {
    clearTimeout(progressTimer)
    progressTimer = undefined
    view = viewOf(items.map((item) => item.current()))
    for (const listener of listeners) listener()
  }

  function sendNext() {
    const limit = options.concurrentFiles ?? defaultConcurrentFiles
    const sending = items.filter((item) => item.current().state === 'sending').length
    const waiting = items.filter((item) => item.current().state === 'waiting')
    for (const item of waiting.slice(0, Math.max(0, limit - sending))) item.send()
  }

  function followNext() {
    if (listeners.size === 0) return
    const followed = items.filter((item) => item.isFollowed()).length
    const unfollowed = items.filter((item) => item.mustBeFollowed())
    for (const item of unfollowed.slice(0, Math.max(0, maxFollowed - followed)))
      item.follow().then(followNext)
  }

  /** Called by React when a component shows the list. @returns what React calls when it does not any more */
  function subscribe(listener: () => void): () => void {
    listeners.add(listener)
    followNext()
    return () => {
      listeners.delete(listener)
      // Strict mode and fast refresh take a component away and bring it back at once.
      queueMicrotask(() => {
        if (listeners.size === 0) onUnmounted()
      })
    }
  }

  function onUnmounted() {
    for (const item of items) {
      item.stopFollowing()
      if (options.onUnmount === 'abort') item.current().abort()
    }
  }

  return { start, configure, subscribe, view: () => view }
}

function viewOf(uploads: UploadItem[]): UploadListView {
  const isSending = uploads.some(({ state }) => state === 'waiting' || state === 'sending')
  const counted = uploads.filter(
    ({ state, upload }) => upload !== undefined || !['failed', 'aborted'].includes(state),
  )
  const total = counted.reduce((sum, { file }) => sum + file.size, 0)
  const sent = counted.reduce((sum, { file, progress }) => sum + file.size * progress, 0)
  const isSent = counted.length > 0 && counted.every(({ progress }) => progress === 1)
  return { uploads, isSending, progress: total > 0 ? sent / total : Number(isSent) }
}
