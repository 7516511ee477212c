import { isUnreadable } from '@millrace/shared/connections/stored-json.ts'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { createChangeQueue, isProgress } from './change-queue.ts'
import type { UploadChange, UploadChanges } from './upload-changes.ts'

/**
 * An event about the uploads of all users of a tenant. `sequence` is the position from which a client can continue. `opened`
 * begins; `missed` means that changes may have been missed.
 */
export type UsersEvent =
  | { kind: 'opened'; sequence: number }
  | { kind: 'missed'; sequence: number }
  | { kind: 'upload'; sequence: number; upload: Upload }
  | { kind: 'erased'; sequence: number; address: UploadAddress }

/**
 * Creates the function that follows the uploads of all users of a tenant. There is no list of these in Redis, and listing
 * S3 has no bound, so there is no snapshot.
 */
export function createWatchUsers(deps: {
  records: Pick<UploadRecords, 'usersChangedSince' | 'lastSequence'>
  lookup: UploadLookup
  changes: UploadChanges
}) {
  const { records, lookup, changes } = deps

  /**
   * Yields the changes. A change that happens while it begins may be yielded twice.
   *
   * @param group of the users (`usersGroup`)
   * @param lastPosition the position of the client's last event, if any. If Redis still has all later changes, they come
   *   first; otherwise `missed` does
   * @param signal ends the watch
   */
  return async function* watchUsers(
    group: string,
    lastPosition: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<UsersEvent> {
    const queue = createChangeQueue(signal)
    const unsubscribe = await changes.subscribe(group, queue.add)
    try {
      let position = lastPosition ?? 0
      if (lastPosition === undefined) {
        position = await records.lastSequence(group)
        yield { kind: 'opened', sequence: position }
      } else {
        for await (const event of catchUp(group, position)) {
          position = event.sequence
          yield event
        }
      }
      for (;;) {
        for await (const event of eventsOf(group, await queue.next(), position)) {
          position = event.sequence
          yield event
        }
      }
    } finally {
      unsubscribe()
    }
  }

  async function* eventsOf(
    group: string,
    change: UploadChange,
    position: number,
  ): AsyncGenerator<UsersEvent> {
    if (change === 'missed') yield* catchUp(group, position)
    else if (isProgress(change)) return
    else if (change.sequence <= position) {
      // The client has it already, unless Redis lost the sequence and its clock is behind.
      if ((await records.lastSequence(group)) < position) yield* catchUp(group, position)
    } else if ('upload' in change) {
      yield { kind: 'upload', sequence: change.sequence, upload: change.upload }
    } else if (change.owner === undefined) {
      yield* catchUp(group, position)
    } else if ('erased' in change) {
      const address = { owner: change.owner, id: change.erased }
      yield { kind: 'erased', sequence: change.sequence, address }
    } else yield* stateOf({ owner: change.owner, id: change.unreadable }, change.sequence)
  }

  async function* catchUp(group: string, position: number): AsyncGenerator<UsersEvent> {
    const missed = await records.usersChangedSince(group, position)
    if (!missed) yield { kind: 'missed', sequence: await records.lastSequence(group) }
    else for (const { address, sequence } of missed) yield* stateOf(address, sequence)
  }

  /** Yields the state of an upload, or nothing if only another version can read it. Its next change follows. */
  async function* stateOf(address: UploadAddress, sequence: number): AsyncGenerator<UsersEvent> {
    try {
      const stored = await lookup.find(address)
      if (stored) yield { kind: 'upload', sequence, upload: stored.upload }
      else yield { kind: 'erased', sequence, address }
    } catch (error) {
      if (!isUnreadable(error)) throw error
    }
  }
}

export type WatchUsers = ReturnType<typeof createWatchUsers>
