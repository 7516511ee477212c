import { EventEmitter, on } from 'node:events'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { isFinished } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { StoredUpload } from '@millrace/shared/uploads/upload-records.ts'
import type { UploadChange, UploadChanges } from './upload-changes.ts'

/** Follows an upload from how it is now to its end. */
export function createWatchUpload(deps: { lookup: UploadLookup; changes: UploadChanges }) {
  const { lookup, changes } = deps

  /**
   * Subscribes before it looks, so no change falls between the two.
   *
   * @param signal ends the watch
   * @returns a snapshot first, then each change; ends with the upload's end, or when it is no longer there
   */
  return async function* watchUpload(
    address: UploadAddress,
    signal: AbortSignal,
  ): AsyncGenerator<StoredUpload> {
    const heard = new EventEmitter()
    const news = on(heard, 'change', { signal })
    const unsubscribe = await changes.subscribe(address.owner, (change) => {
      if (isAbout(change, address.id)) heard.emit('change', change)
    })
    try {
      let shown = await lookup.find(address)
      if (shown) yield shown
      while (shown && !isFinished(shown.upload)) {
        const next: StoredUpload | undefined = await newer(shown)
        if (next) yield next
        shown = next
      }
    } finally {
      unsubscribe()
    }

    /** @returns the next state after the one that was shown, or undefined where the upload is gone */
    async function newer(before: StoredUpload): Promise<StoredUpload | undefined> {
      for (;;) {
        const { value = [] } = await news.next()
        const change: UploadChange = value[0]
        if (change === 'missed') {
          const current = await lookup.find(address)
          if (!current || current.revision !== before.revision) return current
        } else if ('erased' in change) {
          return undefined
        } else if (change.revision > before.revision) {
          return change
        }
      }
    }
  }
}

function isAbout(change: UploadChange, id: string): boolean {
  if (change === 'missed') return true
  return ('erased' in change ? change.erased : change.upload.id) === id
}

export type WatchUpload = ReturnType<typeof createWatchUpload>
