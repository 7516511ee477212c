import { setTimeout as delay } from 'node:timers/promises'
import { isObject } from './decent-client.ts'
import { numberOfFilename } from './files.ts'
import type { Owner } from './fleet.ts'
import { authorization } from './send-file.ts'

/** What EventSource waits before it connects again (the API asks for it in `retry:`), in ms. */
const reconnectMs = 2_000
/** The longest pause of a client whose upload is not found, in ms. */
const longestPauseMs = 16_000
const endStates: ReadonlySet<unknown> = new Set(['ready', 'rejected', 'failed'])

/** What one watcher has been told about an upload. */
export type Told = { id: string; owner: string; state: string | undefined }

/** An event of another owner's upload. */
export type Leak = { owner: string; id: string; filename: string }

export type Watchers = ReturnType<typeof createWatchers>

/**
 * Creates clients of server-sent events. They do what a browser's EventSource does: they connect again when the stream
 * ends, with `Last-Event-ID`, and stop at 204. Unlike EventSource they also try again after an error status, as our client
 * does.
 *
 * @param deps.ownerOf returns the name of the owner who sent the upload with this number
 * @param deps.isErased whether the owner has the receipt of an upload's erasure, and so need not watch it any more
 */
export function createWatchers(deps: {
  nextApi: () => Promise<string>
  ownerOf: (number: number) => string | undefined
  isErased: (id: string) => boolean
}) {
  const { nextApi, ownerOf, isErased } = deps
  const stopping = new AbortController()
  const uploads = new Map<string, Told>()
  const owners = new Map<string, Map<string, string>>()
  const leaks: Leak[] = []
  const running: Promise<void>[] = []

  /** Reads a view of an upload, and checks that its owner may see it. */
  function note(owner: Owner, view: unknown): { id: string; state: string } | undefined {
    if (!isObject(view) || typeof view['id'] !== 'string' || typeof view['state'] !== 'string')
      return undefined
    const { id, state, filename } = view
    const number = typeof filename === 'string' ? numberOfFilename(filename) : undefined
    if (number !== undefined && ownerOf(number) !== owner.name) {
      leaks.push({ owner: owner.name, id, filename: String(filename) })
    }
    return { id, state }
  }

  async function watchUpload(owner: Owner, id: string): Promise<void> {
    const told: Told = { id, owner: owner.name, state: undefined }
    uploads.set(id, told)
    let lastEventId: string | undefined
    let pauseMs = reconnectMs
    while (!stopping.signal.aborted) {
      const status = await follow(owner, `/uploads/${id}/events`, lastEventId, (event) => {
        lastEventId = event.id || lastEventId
        told.state = note(owner, event.data)?.state ?? told.state
      })
      if (status === 204 || endStates.has(told.state)) return
      // 404: erased, or its record was lost before its bytes came. A client that still waits for them asks again.
      if (status === 404) told.state = 'gone'
      if (status === 404 && isErased(id)) return
      pauseMs = status === 404 ? Math.min(longestPauseMs, pauseMs * 2) : reconnectMs
      await pause(pauseMs)
    }
  }

  async function watchOwner(owner: Owner): Promise<void> {
    const states = new Map<string, string>()
    owners.set(owner.name, states)
    let lastEventId: string | undefined
    const add = (view: unknown) => {
      const noted = note(owner, view)
      if (noted) states.set(noted.id, noted.state)
    }
    while (!stopping.signal.aborted) {
      await follow(owner, '/events', lastEventId, async ({ id, event, data }) => {
        lastEventId = id || lastEventId
        if (event === 'upload') add(data)
        if (event === 'erased' && isObject(data)) states.set(String(data['id']), 'erased')
        if (event !== 'snapshot' || !isObject(data)) return
        for (const view of Array.isArray(data['uploads']) ? data['uploads'] : []) add(view)
        // The snapshot has the newest uploads only. The client reads the others from the list.
        if (typeof data['nextCursor'] === 'string') await readList(owner, data['nextCursor'], add)
      })
      await pause()
    }
  }

  async function readList(owner: Owner, first: string, add: (view: unknown) => void): Promise<void> {
    let cursor: string | undefined = first
    while (cursor !== undefined && !stopping.signal.aborted) {
      try {
        const response = await fetch(new URL(`/uploads?limit=200&cursor=${cursor}`, await nextApi()), {
          headers: authorization({ owner }),
          signal: AbortSignal.any([stopping.signal, AbortSignal.timeout(10_000)]),
        })
        const page: unknown = await response.json()
        if (response.status !== 200 || !isObject(page)) throw new Error('The list could not be read.')
        for (const view of Array.isArray(page['uploads']) ? page['uploads'] : []) add(view)
        cursor = typeof page['nextCursor'] === 'string' ? page['nextCursor'] : undefined
      } catch {
        await pause()
      }
    }
  }

  /** Reads a stream to its end. @returns the status of the response; undefined without one */
  async function follow(
    owner: Owner,
    path: string,
    lastEventId: string | undefined,
    onEvent: (event: { id: string; event: string; data: unknown }) => void | Promise<void>,
  ): Promise<number | undefined> {
    let status: number | undefined
    try {
      const response = await fetch(new URL(path, await nextApi()), {
        headers: { ...authorization({ owner }), ...(lastEventId && { 'last-event-id': lastEventId }) },
        signal: stopping.signal,
      })
      status = response.status
      if (status !== 200 || !response.body) {
        await response.body?.cancel()
        return status
      }
      let text = ''
      for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        text += chunk
        for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
          const event = parseEvent(text.slice(0, end))
          text = text.slice(end + 2)
          if (event) await onEvent(event)
        }
      }
    } catch {
      // The instance died, or the run ends.
    }
    return status
  }

  async function pause(ms = reconnectMs): Promise<void> {
    await delay(ms, undefined, { signal: stopping.signal }).catch(() => undefined)
  }

  return {
    /** What the watchers of single uploads were told, by id. `gone`: 404. */
    uploads,
    /** What each owner's watcher was told last, by owner and id. */
    owners,
    leaks,
    watchUpload: (owner: Owner, id: string) => void running.push(watchUpload(owner, id)),
    watchOwner: (owner: Owner) => void running.push(watchOwner(owner)),
    async close(): Promise<void> {
      stopping.abort()
      await Promise.all(running)
    },
  }
}

function parseEvent(text: string): { id: string; event: string; data: unknown } | undefined {
  const fields = new Map(
    text.split('\n').map((line) => {
      const colon = line.indexOf(': ')
      return [line.slice(0, colon), line.slice(colon + 2)] as const
    }),
  )
  const data = fields.get('data')
  if (data === undefined) return undefined
  return { id: fields.get('id') ?? '', event: fields.get('event') ?? '', data: JSON.parse(data) }
}
