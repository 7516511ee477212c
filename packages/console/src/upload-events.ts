import type { Upload } from './api.ts'

/**
 * Streams open at once. Browsers open six connections a host at most (HTTP/1.1), over all tabs, and the
 * uploads need some of them.
 */
const streamsAtOnce = 2
/** How long a stream may keep its place while others wait for one, in milliseconds. */
const turnMs = 3_000
/** Before a stream that the server closed is opened once more, in milliseconds. */
const reopenMs = 2_000

/**
 * Follows uploads by their server-sent events, a few at a time, taking turns: every stream begins with a
 * snapshot, so an upload that had to wait has missed nothing. A hidden page holds no stream.
 *
 * @param deps.onUpload gets each snapshot and change
 * @param deps.onBroken told of an upload whose stream the server does not give
 */
export function createUploadEvents(deps: {
  onUpload: (upload: Upload) => void
  onBroken: (id: string) => void
}) {
  const streams = new Map<string, EventSource>()
  const turns = new Map<string, number>()
  const resting = new Set<string>()
  let wanted: readonly string[] = []
  let turn: ReturnType<typeof setTimeout> | undefined

  document.addEventListener('visibilitychange', arrange)

  return {
    /** @param ids of all uploads to follow from now on, those to begin with first */
    follow(ids: readonly string[]): void {
      if (ids.length === wanted.length && ids.every((id, index) => id === wanted[index])) return
      wanted = ids
      for (const id of turns.keys()) if (!ids.includes(id)) turns.delete(id)
      arrange()
    },
  }

  function arrange(): void {
    const ready = document.hidden ? [] : wanted.filter((id) => !resting.has(id))
    // The sort is stable: of those that had as many turns, the first comes first.
    const chosen = ready.toSorted((a, b) => turnsOf(a) - turnsOf(b)).slice(0, streamsAtOnce)
    for (const id of streams.keys()) if (!chosen.includes(id)) close(id)
    for (const id of chosen) if (!streams.has(id)) open(id)
    clearTimeout(turn)
    if (ready.length > chosen.length) turn = setTimeout(endTurn, turnMs)
  }

  function endTurn(): void {
    for (const id of streams.keys()) turns.set(id, turnsOf(id) + 1)
    arrange()
  }

  function turnsOf(id: string): number {
    return turns.get(id) ?? 0
  }

  function open(id: string): void {
    const stream = new EventSource(`/uploads/${id}/events`)
    streams.set(id, stream)
    stream.addEventListener('upload', ({ data }: MessageEvent<string>) => {
      const upload: Upload = JSON.parse(data)
      deps.onUpload(upload)
    })
    stream.addEventListener('error', () => {
      // Otherwise the browser connects again by itself.
      if (stream.readyState !== EventSource.CLOSED) return
      close(id)
      resting.add(id)
      setTimeout(() => {
        resting.delete(id)
        arrange()
      }, reopenMs)
      deps.onBroken(id)
    })
  }

  function close(id: string): void {
    streams.get(id)?.close()
    streams.delete(id)
  }
}

export type UploadEvents = ReturnType<typeof createUploadEvents>
