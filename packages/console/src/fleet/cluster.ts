/** Milliseconds. */
export type Percentiles = { p50: number; p95: number; p99: number }
export type Tier = 'api' | 'worker'

/** One process. `since` is ISO 8601, `cpuPercent` of one core. */
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

export type TierView = {
  tier: Tier
  instances: number
  serving: number
  slots: number
  busy: number
  perSecond: number
  latencyMs: Percentiles | null
}

export type QueueLoadSample = {
  load: number
  waiting: number
  prioritized: number
  active: number
  notRelayed: number
  slots: number
  oldestJobAgeMs: number
}

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

/** The whole fleet, as `GET /admin/cluster` tells of it. `history` and `decisions` are newest first. */
export type Cluster = {
  at: string
  tiers: TierView[]
  instances: Instance[]
  load: QueueLoadSample | null
  history: QueueLoadPoint[]
  scaling: TierScaling[]
  decisions: ScalingDecision[]
}

/** What the page knows: the fleet, or why it does not. */
export type ClusterNews = { cluster: Cluster } | { problem: 'forbidden' | 'unreachable' }

/** Before a stream that the server closed is opened once more, in milliseconds. */
const reopenMs = 2_000

/**
 * Follows the fleet. A hidden page does not.
 *
 * @returns a function that ends it
 */
export function followCluster(tell: (news: ClusterNews) => void): () => void {
  let stream: EventSource | undefined
  let reopening: ReturnType<typeof setTimeout> | undefined
  document.addEventListener('visibilitychange', arrange)
  arrange()
  return () => {
    document.removeEventListener('visibilitychange', arrange)
    close()
  }

  function arrange(): void {
    if (document.hidden) close()
    else if (!stream) open()
  }

  function open(): void {
    const opened = new EventSource('/admin/cluster/events')
    stream = opened
    opened.addEventListener('cluster', ({ data }: MessageEvent<string>) => {
      const cluster: Cluster = JSON.parse(data)
      tell({ cluster })
    })
    opened.addEventListener('error', () => {
      tell({ problem: 'unreachable' })
      // Otherwise the browser connects again by itself.
      if (opened.readyState !== EventSource.CLOSED) return
      close()
      void askWhy()
    })
  }

  function close(): void {
    clearTimeout(reopening)
    stream?.close()
    stream = undefined
  }

  /** An EventSource does not tell why it was refused. */
  async function askWhy(): Promise<void> {
    const status = await fetch('/admin/cluster').then(
      (answer) => answer.status,
      () => 0,
    )
    if (status === 401 || status === 403) tell({ problem: 'forbidden' })
    else reopening = setTimeout(arrange, reopenMs)
  }
}
