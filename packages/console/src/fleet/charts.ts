import type { Cluster, FleetPoint, TierName } from './fleet-feed.ts'
import { bytesPerMinute, count, duration, percent, type Quantity, ratio } from './quantities.ts'
import { words } from './words.ts'

/** A point of the history, or the current state, of which no finished uploads are known yet. */
export type ChartPoint = Omit<FleetPoint, 'uploads'> & { uploads?: FleetPoint['uploads'] }

export type ChartSeries = {
  label: string
  /** Number of a color of the charts, from 1. */
  color: 1 | 2 | 3 | 4
  /** Lengths of strokes and gaps in pixels, so that lines differ without their colors. */
  dash?: number[]
  value: (point: ChartPoint) => number | null
}

export type ChartDefinition = {
  id: string
  title: string
  explanation: string
  quantity: Quantity
  series: ChartSeries[]
  /** The axis reaches at least up to here. */
  minTop: number
  /** A horizontal line at this value. */
  limit?: { value: number; label: string }
  isWhole?: boolean
  isStepped?: boolean
  /** Fills what is below the first line. */
  hasArea?: boolean
}

const dashed = [6, 4]
const dotted = [2, 3]
const minuteMs = 60_000

const perMinute = (read: (uploads: FleetPoint['uploads']) => number) => (point: ChartPoint) =>
  point.uploads ? (read(point.uploads) * minuteMs) / point.periodMs : null

const percentiles = (tier: TierName): ChartSeries[] => [
  { label: 'p50', color: 1, value: (point) => point[tier].latencyMs?.p50 ?? null },
  { label: 'p95', color: 2, dash: dashed, value: (point) => point[tier].latencyMs?.p95 ?? null },
  { label: 'p99', color: 3, dash: dotted, value: (point) => point[tier].latencyMs?.p99 ?? null },
]

const tiers = (read: (tier: FleetPoint['api']) => number | null): ChartSeries[] => [
  { label: 'API', color: 1, value: ({ api }) => read(api) },
  { label: 'Workers', color: 2, dash: dashed, value: ({ worker }) => read(worker) },
]

/** The charts of the API tier and of all instances. */
export const trafficCharts: ChartDefinition[] = [
  {
    id: 'requests',
    title: 'Requests',
    explanation: `${words.requests} ${words.errors}`,
    quantity: count('per minute'),
    series: [
      { label: 'Requests', color: 1, value: ({ api }) => api.perMinute },
      { label: 'Errors', color: 2, dash: dashed, value: ({ api }) => api.errorsPerMinute },
    ],
    hasArea: true,
    minTop: 10,
  },
  {
    id: 'response-time',
    title: 'Response time',
    explanation: words.responseTime,
    quantity: duration('per request'),
    series: percentiles('api'),
    minTop: 10,
  },
  {
    id: 'cpu',
    title: 'CPU',
    explanation: words.cpu,
    quantity: percent,
    series: tiers(({ cpuPercent }) => cpuPercent),
    hasArea: true,
    minTop: 100,
  },
  {
    id: 'instances',
    title: 'Instances',
    explanation: words.instances,
    quantity: count('taking work'),
    series: tiers(({ serving }) => serving),
    minTop: 4,
    isWhole: true,
    isStepped: true,
  },
]

/** The charts of the queue and of what the workers do. */
export const workCharts: ChartDefinition[] = [
  {
    id: 'queue-depth',
    title: 'Queue depth',
    explanation: words.queueDepth,
    quantity: count('jobs'),
    series: [
      { label: 'Waiting', color: 1, value: ({ queue }) => queue.waiting },
      { label: 'Active', color: 2, dash: dashed, value: ({ queue }) => queue.active },
      { label: 'In SQS', color: 3, dash: dotted, value: ({ queue }) => queue.notRelayed },
      { label: 'Retrying', color: 4, dash: [8, 3, 2, 3], value: ({ queue }) => queue.delayed },
    ],
    hasArea: true,
    minTop: 5,
  },
  {
    id: 'oldest-job',
    title: 'Oldest waiting upload',
    explanation: words.oldestJob,
    quantity: duration('waiting time'),
    series: [{ label: 'Oldest', color: 1, value: ({ queue }) => queue.oldestJobAgeMs }],
    hasArea: true,
    minTop: 1_000,
  },
  {
    id: 'queue-load',
    title: 'Queue load and demand',
    explanation: `${words.queueLoad} ${words.demand}`,
    quantity: ratio,
    series: [
      { label: 'Queue load', color: 1, value: ({ queue }) => queue.load },
      { label: 'Demand', color: 2, dash: dashed, value: ({ queue }) => queue.demand },
    ],
    hasArea: true,
    minTop: 1.2,
    limit: { value: 1, label: 'At 1, all slots are in use' },
  },
  {
    id: 'job-duration',
    title: 'Job duration',
    explanation: words.jobDuration,
    quantity: duration('per job'),
    series: percentiles('worker'),
    minTop: 100,
  },
  {
    id: 'finished',
    title: 'Finished uploads',
    explanation: `${words.throughput} ${words.failures}`,
    quantity: count('per minute'),
    series: [
      { label: 'Ready', color: 1, value: perMinute(({ ready }) => ready) },
      { label: 'Rejected', color: 2, dash: dashed, value: perMinute(({ rejected }) => rejected) },
      { label: 'Failed', color: 3, dash: dotted, value: perMinute(({ failed }) => failed) },
    ],
    hasArea: true,
    minTop: 10,
  },
  {
    id: 'bytes',
    title: 'Processed bytes',
    explanation: words.throughput,
    quantity: bytesPerMinute,
    series: [{ label: 'Originals', color: 1, value: perMinute(({ bytes }) => bytes) }],
    hasArea: true,
    minTop: 1e6,
  },
]

/** Returns the points of the charts, oldest first: the history, and the current state, which changes each second. */
export function chartPoints(cluster: Cluster): ChartPoint[] {
  const { history, at, load } = cluster
  const last = history.at(-1)
  if (!load || (last && last.at >= at)) return history
  const queue = {
    load: load.load,
    demand: cluster.demand,
    waiting: load.waiting + load.prioritized,
    active: load.active,
    delayed: load.delayed ?? 0,
    notRelayed: load.notRelayed,
    failed: load.failed ?? 0,
    slots: load.slots,
    oldestJobAgeMs: load.oldestJobAgeMs,
  }
  const now = { at, periodMs: 1_000, api: tierNow(cluster, 'api'), worker: tierNow(cluster, 'worker'), queue }
  return [...history, now]
}

function tierNow({ tiers }: Cluster, name: TierName): FleetPoint['api'] {
  const tier = tiers.find((one) => one.tier === name)
  return {
    serving: tier?.serving ?? 0,
    total: (tier?.instances ?? 0) + (tier?.lost ?? 0),
    cpuPercent: tier?.cpuPercent ?? null,
    perMinute: (tier?.perSecond ?? 0) * 60,
    errorsPerMinute: tier?.errorsPerMinute ?? 0,
    latencyMs: tier?.latencyMs ?? null,
    busy: tier?.busy ?? 0,
  }
}

/** Times between points that are longer than this many periods are shown as gaps: nobody published. */
const gapPeriods = 3

/** The columns of a chart, as uPlot takes them: times in s, and one column of values for each series. */
export type ChartColumns = [times: number[], ...values: (number | null)[][]]

/** Returns the columns of a chart. @param fromMs points before it are left out, but one */
export function chartColumns(points: ChartPoint[], series: ChartSeries[], fromMs: number): ChartColumns {
  const times: number[] = []
  const values = series.map((): (number | null)[] => [])
  const first = points.findIndex(({ at }) => Date.parse(at) >= fromMs)
  let lastMs: number | undefined
  for (const point of first < 0 ? [] : points.slice(Math.max(0, first - 1))) {
    const atMs = Date.parse(point.at)
    if (lastMs !== undefined && atMs - lastMs > gapPeriods * Math.max(10_000, point.periodMs)) {
      times.push((lastMs + 1) / 1000)
      for (const column of values) column.push(null)
    }
    times.push(atMs / 1000)
    for (const [index, column] of values.entries()) column.push(series[index]?.value(point) ?? null)
    lastMs = atMs
  }
  return [times, ...values]
}
