/** Durations in ms. */
export type Percentiles = { p50: number; p95: number; p99: number }
export type Tier = 'api' | 'worker'

/** One process. `since` is its start time (ISO 8601); `cpuPercent` is relative to one core. */
export type Instance = {
  id: string
  tier: Tier
  state: 'serving' | 'draining'
  since: string
  version: string
  cpuPercent: number
  rssBytes: number
  slots: number
  busy: number
  perSecond: number
  latencyMs: Percentiles | null
}

/** The sums over all instances of a tier. */
export type TierView = {
  tier: Tier
  instances: number
  serving: number
  slots: number
  busy: number
  perSecond: number
  latencyMs: Percentiles | null
}

/** The latest sample of the queue. `load` is the queue load: (waiting + active + not yet relayed jobs) ÷ slots. */
export type QueueLoadSample = {
  load: number
  waiting: number
  prioritized: number
  active: number
  notRelayed: number
  slots: number
  oldestJobAgeMs: number
}

/** The metrics of one publish period. `load` is the queue load. */
export type QueueLoadPoint = {
  at: string
  load: number
  demand: number
  queueDepth: number
  jobsFinished: number
  jobDurationMs: number | null
  slots: number
}

export type TierScaling = {
  tier: Tier
  min: number
  max: number
  desired: number
  inService: number
  starting: number
  reason: string
}

export type ScalingDecision = { at: string; tier: Tier; from: number; to: number; reason: string }

/** The response of `GET /admin/cluster`: the whole fleet. `history` and `decisions` are newest first. */
export type Cluster = {
  at: string
  tiers: TierView[]
  instances: Instance[]
  load: QueueLoadSample | null
  history: QueueLoadPoint[]
  scaling: TierScaling[]
  decisions: ScalingDecision[]
}

/** A new state of the fleet, or why there is none. */
export type ClusterUpdate = { cluster: Cluster } | { problem: 'forbidden' | 'unreachable' }

/**
 * Delay before a stream that the server refused is opened again, in ms, plus a random part of it. An EventSource gives up
 * after an error response and does not expose its `Retry-After`; the API sends 5 s if it has too many streams.
 */
const refusedDelayMs = 5_000

/**
 * Follows the fleet over server-sent events while the page is visible.
 *
 * @param onUpdate called with each new state, and with each problem
 * @returns a function that stops following
 */
export function followCluster(onUpdate: (update: ClusterUpdate) => void): () => void {
  let stream: EventSource | undefined
  let reconnectTimer: ReturnType<typeof setTimeout> | undefined
  document.addEventListener('visibilitychange', updateConnection)
  updateConnection()
  return () => {
    document.removeEventListener('visibilitychange', updateConnection)
    close()
  }

  function updateConnection(): void {
    if (document.hidden) close()
    else if (!stream) open()
  }

  function open(): void {
    const current = new EventSource('admin/cluster/events')
    stream = current
    current.addEventListener('cluster', ({ data }: MessageEvent<string>) => {
      const cluster: Cluster = JSON.parse(data)
      onUpdate({ cluster })
    })
    current.addEventListener('error', () => {
      onUpdate({ problem: 'unreachable' })
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

  /** Finds out with a plain request why the stream was refused: an EventSource does not expose the status. */
  async function checkAccess(): Promise<void> {
    const status = await fetch('admin/cluster').then(
      (response) => response.status,
      () => 0,
    )
    if (status === 401 || status === 403) onUpdate({ problem: 'forbidden' })
    else reconnectTimer = setTimeout(updateConnection, refusedDelayMs * (1 + Math.random()))
  }
}
