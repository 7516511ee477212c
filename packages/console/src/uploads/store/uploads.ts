import type { Client, Upload } from '@millrace/client'
import { effect, signal } from '@preact/signals'
import type { Identity } from '../../frame/identity.ts'
import { createBulk, reasonOf } from './bulk.ts'
import { comesBefore } from './ordered-ids.ts'
import { createOwnerEvents } from './owner-events.ts'
import { createSelection } from './selection.ts'
import { isSameQuery, listFilterOf, type UploadQuery } from './upload-query.ts'
import { createUploadStore } from './upload-store.ts'

/** The first page fills the screen, the next ones are as large as the API allows. */
const firstPageSize = 60
const pageSize = 200
/** How many pages without a match are requested one after the other before the reader is asked. */
const maxEmptyPages = 8

/** What the list does: `searching` looks through older uploads, of which few match. */
export type Status =
  | { kind: 'loading' | 'idle' }
  | { kind: 'paused'; reachedAt: number }
  | { kind: 'failed'; problem: string }

/**
 * Manages the uploads that the page shows: loads them page by page, follows their changes, selects some and acts on them.
 *
 * @param deps.client a client of the API that serves the page
 * @param deps.identity opens the session before anything else is requested
 */
export function createUploads({ client, identity }: { client: Client; identity: Identity }) {
  let query: UploadQuery = { search: '', states: [], order: 'newest', user: '' }
  const store = createUploadStore({ query: () => query })
  const selection = createSelection()
  const status = signal<Status>({ kind: 'loading' })
  const events = createOwnerEvents({
    onOpened(newest) {
      // The first time, the list was requested while the stream was opened.
      if (isOpen) refresh()
      else if (newest) takeNewest(newest.uploads, newest.nextCursor)
      isOpen = true
    },
    onUpload: store.tell,
    onErased: (id) => store.erase([id]),
    onProgress: store.tellProgress,
  })
  store.onErased(selection.remove)
  /** Aborts the requests of the query before. */
  let loading = new AbortController()
  let isLoading = false
  let isOpen = false
  let isShown = false
  let streamOf = ''

  /** Loads the next page. Of pages without a match, it loads several. */
  async function loadMore(): Promise<void> {
    if (isLoading || store.end.peek() === undefined) return
    const { signal: aborted } = loading
    isLoading = true
    status.value = { kind: 'loading' }
    try {
      await identity.open()
      followQuery()
      for (let empty = 0; empty < maxEmptyPages; empty += 1) {
        const before = store.ids.peek().length
        const end = store.end.peek()
        const nextEnd = await loadPage(end === '' ? undefined : end, aborted)
        const isStuck = end === nextEnd
        if (nextEnd === undefined || store.ids.peek().length > before || isStuck) {
          status.value = { kind: 'idle' }
          return
        }
      }
      status.value = { kind: 'paused', reachedAt: timeOf(store.end.peek() ?? '') }
    } catch (error) {
      if (!aborted.aborted) status.value = { kind: 'failed', problem: reasonOf(error) }
    } finally {
      if (!aborted.aborted) isLoading = false
    }
  }

  /** @returns the position after the page; undefined after the last one */
  async function loadPage(cursor: string | undefined, aborted: AbortSignal): Promise<string | undefined> {
    const since = store.now()
    const limit = cursor === undefined ? firstPageSize : pageSize
    const page = await client.listPage(
      { ...listFilterOf(query), limit, ...(cursor !== undefined && { cursor }) },
      { signal: aborted },
    )
    aborted.throwIfAborted()
    store.end.value = page.nextCursor
    store.setStretch(page.uploads, { after: cursor, until: page.nextCursor }, since)
    return page.nextCursor
  }

  /** Reads what is loaded again, after changes may have been missed. */
  async function refresh(): Promise<void> {
    const { signal: aborted } = loading
    const end = store.end.peek()
    if (end === '') return loadMore()
    try {
      for (let cursor: string | undefined; ; ) {
        const since = store.now()
        const page = await client.listPage(
          { ...listFilterOf(query), limit: pageSize, ...(cursor !== undefined && { cursor }) },
          { signal: aborted },
        )
        aborted.throwIfAborted()
        const { nextCursor } = page
        store.setStretch(page.uploads, { after: cursor, until: nextCursor }, since)
        const isDone =
          end !== undefined && nextCursor !== undefined && !comesBefore(nextCursor, end, query.order)
        if (nextCursor === undefined || nextCursor === cursor || isDone) break
        cursor = nextCursor
      }
      if (status.peek().kind === 'failed') status.value = { kind: 'idle' }
    } catch {
      // The stream reopens when the connection is back, and then this is repeated.
    }
  }

  /** Takes the newest uploads, with which a stream begins. @param end the position after them, if there are older ones */
  function takeNewest(newest: readonly Upload[], end: string | undefined): void {
    if (query.order === 'newest') store.setStretch(newest, { until: end }, store.now())
    else for (const upload of newest) store.tell(upload)
  }

  /** Follows the uploads that the query can show. */
  function followQuery(): void {
    const wanted = query.user === '' ? 'own' : 'all users'
    if (streamOf === wanted) return
    streamOf = wanted
    isOpen = false
    events.open({ ofAllUsers: query.user !== '' })
  }

  function reload(): void {
    loading.abort()
    loading = new AbortController()
    isLoading = false
    selection.clear()
    store.clear()
    loadMore()
  }

  // Another user has other uploads.
  let user: string | undefined
  effect(() => {
    const { value } = identity.session
    if (!value) return
    const next = userOf(value.signedIn)
    const isChanged = user !== undefined && user !== next
    user = next
    if (!isChanged) return
    streamOf = ''
    store.forget()
    reload()
  })

  return {
    store,
    selection,
    status,
    bulk: createBulk({ client }),
    isLost: events.isLost,
    /** Where the page was scrolled to when it was left, in CSS pixels. */
    scrollTop: 0,

    /** Shows the uploads of a query. The same query keeps the list. */
    show(next: UploadQuery): void {
      if (isShown && isSameQuery(next, query)) return
      isShown = true
      query = next
      reload()
    },

    loadMore,

    /** Tries again after a failure. */
    retry: loadMore,

    /** Reads one upload, which may not be in the list. @throws ApiProblem; TypeError without a connection */
    async load(id: string): Promise<void> {
      await identity.open()
      store.keep(await client.get(id))
    },
  }
}

export type Uploads = ReturnType<typeof createUploads>

/** Returns the time of an id in ms since 1970: the first 48 bits of a UUIDv7 (RFC 9562, 5.7). */
function timeOf(id: string): number {
  return Number.parseInt(id.replaceAll('-', '').slice(0, 12), 16)
}

function userOf(signedIn: object | null | undefined): string {
  if (!signedIn) return 'anonymous'
  const { keyId, user }: { keyId?: unknown; user?: unknown } = signedIn
  return String(keyId ?? user)
}
