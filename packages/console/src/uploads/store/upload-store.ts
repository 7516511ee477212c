import type { Upload, UploadProgress } from '@millrace/client'
import { batch, type Signal, signal } from '@preact/signals'
import { hasId, type Ids, isWithin, positionOf, type Stretch, withId, withoutIds } from './ordered-ids.ts'
import { matchesQuery, type UploadQuery } from './upload-query.ts'

/** An upload, and how far its processing is since its last change. */
export type Entry = { upload: Upload; progress?: UploadProgress }

/**
 * Creates the list of uploads that a page shows. Each upload has a signal of its own, so that a change of one renders one,
 * and the order changes only when an upload appears or disappears.
 *
 * @param deps.query which uploads are in the list; call `clear` when it changes
 */
export function createUploadStore({ query }: { query: () => UploadQuery }) {
  const entries = new Map<string, Signal<Entry | undefined>>()
  const ids = signal<Ids>([])
  /** The last position that was listed; undefined: the list is whole. Only what comes before it is in the list. */
  const end = signal<string | undefined>('')
  /** New uploads that are not in the list yet, so that it does not move below the eyes of the reader. */
  const held = signal<Ids>([])
  let isHolding = false
  /** Erased uploads. What arrives of them later is from before. */
  const erased = new Set<string>()
  const onErased = new Set<(ids: ReadonlySet<string>) => void>()
  /** When each upload was last told of by an event, as a count of events. */
  const toldAt = new Map<string, number>()
  let told = 0

  function entryOf(id: string): Signal<Entry | undefined> {
    let entry = entries.get(id)
    if (!entry) {
      entry = signal<Entry | undefined>(undefined)
      entries.set(id, entry)
    }
    return entry
  }

  /** Keeps the newest state of an upload. A page of the list can arrive after a newer event. */
  function keep(upload: Upload): void {
    const entry = entryOf(upload.id)
    const current = entry.peek()?.upload
    if (current && Date.parse(upload.updatedAt) < Date.parse(current.updatedAt)) return
    // Progress belongs to the state before.
    entry.value = { upload }
  }

  function place(id: string): void {
    const upload = entryOf(id).peek()?.upload
    const { order } = query()
    if (!upload || !matchesQuery(upload, query())) {
      take(new Set([id]))
      return
    }
    const current = ids.peek()
    if (hasId(current, id, order)) return
    if (!isWithin(id, { until: end.peek() }, order)) return
    const isNew = current.length > 0 && positionOf(current, id, order) === 0
    if (isHolding && isNew) held.value = withId(held.peek(), id, order)
    else ids.value = withId(current, id, order)
  }

  /** Takes uploads out of the list. */
  function take(gone: ReadonlySet<string>): void {
    ids.value = withoutIds(ids.peek(), gone)
    held.value = withoutIds(held.peek(), gone)
  }

  function release(): void {
    const { order } = query()
    let next = ids.peek()
    for (const id of held.peek()) next = withId(next, id, order)
    batch(() => {
      ids.value = next
      held.value = []
    })
  }

  return {
    ids,
    held,
    entryOf,
    end,
    /** How many events were told so far: a page that is requested now does not know of later ones. */
    now: (): number => told,

    /** Calls a function with the ids of uploads that are erased. */
    onErased(listener: (ids: ReadonlySet<string>) => void): void {
      onErased.add(listener)
    },

    /** Empties the list, for another query. What is known of uploads stays. */
    clear(): void {
      batch(() => {
        ids.value = []
        held.value = []
        end.value = ''
      })
    },

    /** Forgets everything, for another user. */
    forget(): void {
      this.clear()
      for (const entry of entries.values()) entry.value = undefined
      entries.clear()
      toldAt.clear()
    },

    /** Keeps the state of an upload that was read by itself. */
    keep(upload: Upload): void {
      if (!erased.has(upload.id)) keep(upload)
    },

    /** Takes the state of an upload from an event. */
    tell(upload: Upload): void {
      if (erased.has(upload.id)) return
      told += 1
      toldAt.set(upload.id, told)
      batch(() => {
        keep(upload)
        place(upload.id)
      })
    },

    tellProgress(progress: UploadProgress): void {
      const entry = entries.get(progress.id)
      const current = entry?.peek()
      if (entry && current?.upload.state === 'processing') entry.value = { upload: current.upload, progress }
    },

    /** Removes uploads that were erased. */
    erase(gone: Iterable<string>): void {
      const set = new Set(gone)
      batch(() => {
        for (const id of set) {
          erased.add(id)
          const entry = entries.get(id)
          if (entry) entry.value = undefined
        }
        take(set)
        for (const listener of onErased) listener(set)
      })
    },

    /**
     * Makes a stretch of the list what the API says: uploads that it does not name are no longer there or no longer match.
     *
     * @param since of `now()` when the stretch was requested: what events told later stays
     */
    setStretch(uploads: readonly Upload[], stretch: Stretch, since: number): void {
      const { order } = query()
      const listed = new Set(uploads.map(({ id }) => id))
      const isGone = (id: string) =>
        !listed.has(id) && isWithin(id, stretch, order) && (toldAt.get(id) ?? 0) <= since
      batch(() => {
        take(new Set([...ids.peek(), ...held.peek()].filter(isGone)))
        for (const upload of uploads) {
          if (erased.has(upload.id)) continue
          keep(upload)
          place(upload.id)
        }
      })
    },

    /** Whether new uploads at the beginning wait, because the reader is further down. */
    hold(shouldHold: boolean): void {
      isHolding = shouldHold
      if (!shouldHold && held.peek().length > 0) release()
    },
  }
}

export type UploadStore = ReturnType<typeof createUploadStore>
