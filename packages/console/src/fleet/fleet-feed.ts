import type { components } from '@millrace/client'
import { signal } from '@preact/signals'

type Schemas = components['schemas']
/** The response of `GET /admin/cluster`: the whole fleet. */
export type Cluster = Schemas['Cluster']
export type FleetPoint = Schemas['FleetPoint']
export type TierName = Schemas['Instance']['tier']

/** The whole fleet, as far as it is known, and why it may be out of date. */
export type FleetState = {
  cluster: Cluster | undefined
  problem: 'connecting' | 'forbidden' | 'unreachable' | undefined
}

/** How long points are kept, in ms: as long as the API keeps them. */
const historyMs = 60 * 60_000

/**
 * Delay before a stream that the server refused is opened again, in ms, plus a random part of it. An EventSource gives up
 * after an error response and does not expose its `Retry-After`; the API sends 5 s if it has too many streams.
 */
const refusedDelayMs = 5_000

/** Creates the state of the fleet. The API sends the whole fleet once, and then what changes each second. */
export function createFleetFeed() {
  const state = signal<FleetState>({ cluster: undefined, problem: 'connecting' })
  let stream: EventSource | undefined
  let reconnectTimer: ReturnType<typeof setTimeout> | undefined

  function show(next: Partial<FleetState>): void {
    state.value = { ...state.value, ...next }
  }

  function open(): void {
    const current = new EventSource('admin/cluster/events')
    stream = current
    current.addEventListener('cluster', ({ data }: MessageEvent<string>) => {
      const cluster: Cluster = JSON.parse(data)
      show({ cluster, problem: undefined })
    })
    current.addEventListener('cluster-change', ({ data }: MessageEvent<string>) => {
      const change: Partial<Cluster> = JSON.parse(data)
      const { cluster } = state.value
      if (cluster) show({ cluster: withChange(cluster, change), problem: undefined })
    })
    current.addEventListener('error', () => {
      show({ problem: 'unreachable' })
      // In any other state the browser reconnects by itself.
      if (current.readyState !== EventSource.CLOSED) return
      close()
      void checkAccess()
    })
  }

  function close(): void {
    clearTimeout(reconnectTimer)
    stream?.close()
    stream = undefined
  }

  function updateConnection(): void {
    if (document.hidden) close()
    else if (!stream) open()
  }

  /** Finds out with a plain request why the stream was refused: an EventSource does not expose the status. */
  async function checkAccess(): Promise<void> {
    const status = await fetch('admin/cluster').then(
      (response) => response.status,
      () => 0,
    )
    if (status === 401 || status === 403) show({ cluster: undefined, problem: 'forbidden' })
    else reconnectTimer = setTimeout(updateConnection, refusedDelayMs * (1 + Math.random()))
  }

  return {
    state,
    /** Follows the fleet while the page is visible. @returns a function that stops */
    follow(): () => void {
      show({ problem: 'connecting' })
      document.addEventListener('visibilitychange', updateConnection)
      updateConnection()
      return () => {
        document.removeEventListener('visibilitychange', updateConnection)
        close()
      }
    },
  }
}

/** @param change its history has new points only */
function withChange(cluster: Cluster, change: Partial<Cluster>): Cluster {
  const next = { ...cluster, ...change }
  const oldestMs = Date.parse(next.at) - historyMs
  const history = change.history
    ? [...cluster.history, ...change.history].filter(({ at }) => Date.parse(at) > oldestMs)
    : cluster.history
  return { ...next, history }
}
