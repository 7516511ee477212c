import { EventEmitter, on } from 'node:events'
import type { UploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import type { ListUploads } from '../uploads/list-uploads.ts'
import type { UploadChange, UploadChanges } from './upload-changes.ts'

/** What happens to an owner's uploads. `sequence` is the position to go on from. */
export type OwnerEvent =
  | { kind: 'snapshot'; sequence: number; uploads: Upload[]; more: boolean }
  | { kind: 'upload'; sequence: number; upload: Upload }
  | { kind: 'erased'; sequence: number; id: string }

/** How many uploads a snapshot holds; the older ones are for `GET /uploads`. */
const snapshotSize = 50

/** Follows all uploads of one owner. */
export function createWatchOwner(deps: {
  records: UploadRecords
  lookup: UploadLookup
  listUploads: ListUploads
  changes: UploadChanges
}) {
  const { records, lookup, listUploads, changes } = deps

  /**
   * Subscribes before it looks, so no change falls between the two; one that falls into both is told twice.
   *
   * @param seen the last position that the client has, if any: where Redis remembers what happened since, that
   *   is told; otherwise a snapshot comes first
   * @param signal ends the watch
   */
  return async function* watchOwner(
    owner: string,
    seen: number | undefined,
    signal: AbortSignal,
  ): AsyncGenerator<OwnerEvent> {
    const heard = new EventEmitter()
    const news = on(heard, 'change', { signal })
    const unsubscribe = await changes.subscribe(owner, (change) => heard.emit('change', change))
    try {
      let position = seen
      for await (const event of catchUp(owner, position)) {
        position = event.sequence
        yield event
      }
      for await (const [change] of news) {
        for await (const event of eventsOf(owner, change, position)) {
          position = event.sequence
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
    else if (change.sequence <= (position ?? 0)) return
    else if ('erased' in change) yield { kind: 'erased', sequence: change.sequence, id: change.erased }
    else yield { kind: 'upload', sequence: change.sequence, upload: change.upload }
  }

  async function* catchUp(owner: string, position: number | undefined): AsyncGenerator<OwnerEvent> {
    const missed = position === undefined ? undefined : await records.changedSince(owner, position)
    if (!missed) {
      const sequence = await records.lastSequence(owner)
      const { uploads, more } = await listUploads(owner, { limit: snapshotSize })
      yield { kind: 'snapshot', sequence, uploads, more }
      return
    }
    for (const { id, sequence } of missed) {
      const found = await lookup.find({ owner, id })
      if (found) yield { kind: 'upload', sequence, upload: found.upload }
      else yield { kind: 'erased', sequence, id }
    }
  }
}

export type WatchOwner = ReturnType<typeof createWatchOwner>
