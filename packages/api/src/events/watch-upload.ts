import { EventEmitter, on } from 'node:events'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { isFinished } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { StoredUpload } from '@millrace/shared/uploads/upload-records.ts'
import { uploadVersion } from '../uploads/upload-view.ts'
import type { UploadChange, UploadChanges } from './upload-changes.ts'

/** Creates the function that follows an upload from its current state until it is finished. */
export function createWatchUpload(deps: { lookup: UploadLookup; changes: UploadChanges }) {
  const { lookup, changes } = deps

  /**
   * Yields the current state first, then each change. Ends when the upload is finished or erased. It
   * subscribes before it reads the current state, so no change is missed.
   *
   * @param signal ends the watch
   */
  return async function* watchUpload(
    address: UploadAddress,
    signal: AbortSignal,
  ): AsyncGenerator<StoredUpload> {
    const emitter = new EventEmitter()
    const received = on(emitter, 'change', { signal })
    const unsubscribe = await changes.subscribe(address.owner, (change) => {
      if (concerns(change, address.id)) emitter.emit('change', change)
    })
    try {
      let current = await lookup.find(address)
      if (current) yield current
      while (current && !isFinished(current.upload)) {
        const next: StoredUpload | undefined = await nextState(current)
        if (next) yield next
        current = next
      }
    } finally {
      unsubscribe()
    }

    /** Returns the next state after `previous`, or undefined if the upload no longer exists. */
    async function nextState(previous: StoredUpload): Promise<StoredUpload | undefined> {
      for (;;) {
        const { value = [] } = await received.next()
        const change: UploadChange = value[0]
        if (change !== 'missed' && 'erased' in change) return undefined
        if (change !== 'missed' && change.revision > previous.revision) return change
        // The revision of a change is lower if the change happened before `previous` was read, or if Redis lost the
        // record and an older version of Millrace, or a server whose clock is behind, created it again.
        const current = await lookup.find(address)
        if (!current || uploadVersion(current) !== uploadVersion(previous)) return current
      }
    }
  }
}

/** Whether a change may concern this upload. */
function concerns(change: UploadChange, id: string): boolean {
  if (change === 'missed') return true
  return ('erased' in change ? change.erased : change.upload.id) === id
}

export type WatchUpload = ReturnType<typeof createWatchUpload>
