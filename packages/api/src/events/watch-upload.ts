import { isUnreadable } from '@millrace/shared/connections/stored-json.ts'
import { unknownRevision } from '@millrace/shared/lifecycle/check-upload.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { isFinished } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { ProgressMessage, UploadProgress } from '@millrace/shared/uploads/upload-progress.ts'
import type { StoredUpload } from '@millrace/shared/uploads/upload-records.ts'
import { uploadVersion } from '../uploads/upload-view.ts'
import { createChangeQueue, isProgress } from './change-queue.ts'
import type { UploadChange, UploadChanges } from './upload-changes.ts'

type StateChange = Exclude<UploadChange, ProgressMessage>

/** A state of an upload, or how far its processing is in that state. */
export type UploadEvent = StoredUpload | { progress: UploadProgress }

/** Creates the function that follows an upload from its current state until it is finished. */
export function createWatchUpload(deps: { lookup: UploadLookup; changes: UploadChanges }) {
  const { lookup, changes } = deps

  /**
   * Yields the current state first, then each change and each progress. Ends when the upload is finished or erased. It
   * subscribes before it reads the current state, so no change is missed.
   *
   * @param signal ends the watch
   */
  return async function* watchUpload(
    address: UploadAddress,
    signal: AbortSignal,
  ): AsyncGenerator<UploadEvent> {
    const queue = createChangeQueue(signal)
    const unsubscribe = await changes.subscribe(address.owner, (change) => {
      if (concerns(change, address.id)) queue.add(change)
    })
    try {
      let current = await lookup.find(address)
      if (current) yield current
      while (current && !isFinished(current.upload)) {
        const change = await queue.next()
        if (isProgress(change)) {
          // With another revision, it belongs to an earlier state, or to one whose change is not here yet.
          if (change.revision === current.revision) yield { progress: change.progress }
          continue
        }
        const next: StoredUpload | undefined = await stateAfter(current, change)
        if (next && next !== current) yield next
        current = next
      }
    } finally {
      unsubscribe()
    }

    /** Returns the state after a change, the previous one if it is the same, or undefined if the upload no longer exists. */
    async function stateAfter(
      previous: StoredUpload,
      change: StateChange,
    ): Promise<StoredUpload | undefined> {
      if (change !== 'missed' && 'erased' in change) return undefined
      if (change !== 'missed' && 'revision' in change && change.revision > previous.revision) return change
      // The revision of a change is lower if the change happened before `previous` was read, or if Redis lost the
      // record and an older version of Millrace, or a server whose clock is behind, created it again.
      const current = await readState(address)
      if (current === 'unreadable') return previous
      return current && uploadVersion(current) === uploadVersion(previous) ? previous : current
    }
  }

  /**
   * Reads the current state. While another version works on the upload and only its record could tell the state, S3 tells
   * an older one, unless the upload is finished.
   */
  async function readState(address: UploadAddress): Promise<StoredUpload | undefined | 'unreadable'> {
    try {
      const current = await lookup.find(address)
      const isOlder = current?.revision === unknownRevision && !isFinished(current.upload)
      return isOlder ? 'unreadable' : current
    } catch (error) {
      if (isUnreadable(error)) return 'unreadable'
      throw error
    }
  }
}

/** Whether a change may concern this upload. */
function concerns(change: UploadChange, id: string): boolean {
  if (change === 'missed') return true
  if ('unreadable' in change) return change.unreadable === id
  if ('progress' in change) return change.progress.id === id
  return ('erased' in change ? change.erased : change.upload.id) === id
}

export type WatchUpload = ReturnType<typeof createWatchUpload>
