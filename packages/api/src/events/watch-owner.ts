import { isUnreadable } from '@millrace/shared/connections/stored-json.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadProgress } from '@millrace/shared/uploads/upload-progress.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { ListUploads } from '../listing/list-uploads.ts'
import { createChangeQueue, isProgress } from './change-queue.ts'
import type { UploadChange, UploadChanges } from './upload-changes.ts'

/** An event about an owner's uploads. `sequence` is the position from which a client can continue; a progress has none. */
export type OwnerEvent =
  | { kind: 'snapshot'; sequence: number; uploads: Upload[]; nextCursor?: string }
  | { kind: 'upload'; sequence: number; upload: Upload }
  | { kind: 'erased'; sequence: number; id: string }
  | { kind: 'progress'; progress: UploadProgress }

type StateEvent = Exclude<OwnerEvent, { kind: 'progress' }>

/** Maximum number of uploads in a snapshot. `GET /uploads` lists older ones. */
const snapshotSize = 50

/**
 * How long before a client's position a change may have been lost together with its end, in ms. A position is a time
 * (`upload-records.ts`), and uploads usually end within minutes of their last change.
 */
const uncertainMs = 10 * 60 * 1000

/** Creates the function that follows all uploads of one owner. */
export function createWatchOwner(deps: {
  records: Pick<UploadRecords, 'changedSince' | 'lastSequence' | 'recentChanges'>
  lookup: UploadLookup
  listUploads: ListUploads
  changes: UploadChanges
}) {
  const { records, lookup, listUploads, changes } = deps

  /**
   * Yields the events of an owner's uploads. It subscribes before it reads the current state, so no change is
   * missed. A change that happens in between may be yielded twice.
   *
   * @param lastPosition the position of the client's last event, if any. If Redis still has all later
   *   changes, they come first; otherwise a snapshot comes first
   * @param signal ends the watch
   */
  return async function* watchOwner(
    owner: string,
    lastPosition: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<OwnerEvent> {
    const queue = createChangeQueue(signal)
    const unsubscribe = await changes.subscribe(owner, queue.add)
    try {
      let position = lastPosition
      for await (const event of catchUp(owner, position)) {
        position = event.sequence
        yield event
      }
      for (;;) {
        for await (const event of eventsOf(owner, await queue.next(), position)) {
          if (event.kind !== 'progress') position = event.sequence
          yield event
        }
      }
    } finally {
      unsubscribe()
    }
  }

  async function* eventsOf(
    owner: string,
    change: UploadChange,
    position: number | undefined,
  ): AsyncGenerator<OwnerEvent> {
    if (change === 'missed') yield* catchUp(owner, position)
    else if (isProgress(change)) {
      // With a lower sequence, the client may already have the final state, for example in its snapshot.
      if (change.sequence >= (position ?? 0)) yield { kind: 'progress', progress: change.progress }
    } else if (change.sequence <= (position ?? 0)) {
      // The client already has a change that happened while its position was read. But if Redis lost the sequence and
      // its clock is behind, the sequence starts again below the position.
      if ((await records.lastSequence(owner)) < (position ?? 0)) yield* catchUp(owner, position)
    } else if ('erased' in change) yield { kind: 'erased', sequence: change.sequence, id: change.erased }
    else if ('unreadable' in change) yield* stateOf(owner, change.unreadable, change.sequence)
    else yield { kind: 'upload', sequence: change.sequence, upload: change.upload }
  }

  async function* catchUp(owner: string, position: number | undefined): AsyncGenerator<StateEvent> {
    const missed = position === undefined ? undefined : await records.changedSince(owner, position)
    if (!missed) {
      const sequence = await records.lastSequence(owner)
      const snapshot = await listUploads(owner, { limit: snapshotSize })
      if (position !== undefined) yield* uncertainStates(owner, position, snapshot.uploads)
      yield { kind: 'snapshot', sequence, ...snapshot }
      return
    }
    for (const { id, sequence } of missed) yield* stateOf(owner, id, sequence)
  }

  /**
   * Yields the states of uploads beyond a snapshot that changed around a position or after it. S3 is read if Redis may have
   * lost their end. They come before the snapshot and with the old position: a client that is interrupted gets them again.
   */
  async function* uncertainStates(
    owner: string,
    position: number,
    snapshot: Upload[],
  ): AsyncGenerator<StateEvent> {
    const listed = new Set(snapshot.map(({ id }) => id))
    for (const { id } of await records.recentChanges(owner, position - uncertainMs)) {
      if (!listed.has(id)) yield* stateOf(owner, id, position)
    }
  }

  /** Yields the state of an upload, or nothing if only another version can read it. Its next change follows. */
  async function* stateOf(owner: string, id: string, sequence: number): AsyncGenerator<StateEvent> {
    try {
      const stored = await lookup.find({ owner, id })
      yield stored ? { kind: 'upload', sequence, upload: stored.upload } : { kind: 'erased', sequence, id }
    } catch (error) {
      if (!isUnreadable(error)) throw error
    }
  }
}

export type WatchOwner = ReturnType<typeof createWatchOwner>
