import type { Logger } from 'pino'
import type { RedisLease } from '../connections/redis-lease.ts'
import type { PutFleetMetrics } from './cloudwatch-metrics.ts'
import type { FinishedJobs } from './finished-jobs.ts'
import {
  depthOf,
  type FleetJournal,
  presentOf,
  type QueueLoadPoint,
  type QueueLoadSample,
} from './fleet-journal.ts'
import type { HistoryRecorder } from './history-recorder.ts'
import { countOf, meanMs } from './latency-histogram.ts'
import { arrivedBetween, assumedJobDurationMs, demandOf, jobDurationWindowMs } from './queue-load.ts'
import type { SampleQueue } from './queue-sampler.ts'

/** The publisher's lease, in ms. After a crash, another process publishes within this time. */
export const publisherLeaseMs = 4_000

/** The samples of a period so far. `before`: jobs and messages at its start. */
type Period = { startedAtMs: number; before: number; samples: QueueLoadSample[] }

/**
 * Publishes the fleet's queue load and demand. Every process runs a publisher; a lease makes one of them active. It
 * samples the queue every second and writes one point per period. Periods start at multiples of ten seconds since
 * 1970, as CloudWatch's do.
 *
 * @param deps.historyRecorder gets each sample, for the fleet's history
 * @param deps.putFleetMetrics writes to CloudWatch; undefined off AWS
 * @param deps.samplePeriodMs time between two samples, in ms
 * @param deps.publishPeriodMs period of one point, in ms
 * @param deps.takeoverDelayMs how long the lease must be free before this process takes it, in ms. 0 for workers;
 *   the API publishes only if there are no workers, as in a fleet scaled to zero
 */
export function createQueueLoadPublisher(deps: {
  lease: RedisLease
  sampleQueue: SampleQueue
  finishedJobs: FinishedJobs
  journal: FleetJournal
  historyRecorder: HistoryRecorder
  putFleetMetrics: PutFleetMetrics | undefined
  samplePeriodMs: number
  publishPeriodMs: number
  takeoverDelayMs: number
  log: Pick<Logger, 'warn' | 'info'>
}) {
  const {
    lease,
    sampleQueue,
    finishedJobs,
    journal,
    historyRecorder,
    putFleetMetrics,
    publishPeriodMs,
    takeoverDelayMs,
    log,
  } = deps
  let timer: NodeJS.Timeout | undefined
  let sampling: Promise<void> | undefined
  /** The unfinished requests to CloudWatch. */
  let writing: Promise<unknown> = Promise.resolve()
  let holds = false
  let freeSince: number | undefined
  let period: Period | undefined
  let demand: number | undefined
  const failing = new Set<string>()

  async function sampleIfPublisher(): Promise<void> {
    const isHolder = await holdLease()
    if (isHolder !== holds) log.info({ event: isHolder ? 'publisher' : 'publisher-no-more' }, 'queue load')
    holds = isHolder
    if (!holds) {
      period = undefined
      demand = undefined
      historyRecorder.reset()
      return
    }
    const startedAtMs = Math.floor(Date.now() / publishPeriodMs) * publishPeriodMs
    const sampled = await sampleQueue()
    const sample = sampled.queue
    if (period?.startedAtMs !== startedAtMs) {
      if (period) demand = await endPeriod(period, sample)
      period = { startedAtMs, before: presentOf(sample), samples: [] }
    }
    period.samples.push(sample)
    await journal.setSample(sample)
    await attempt('history-failed', () => historyRecorder.observe({ ...sampled, demand }))
  }

  async function holdLease(): Promise<boolean> {
    if (holds || takeoverDelayMs === 0) return lease.hold()
    if ((await lease.holder()) !== undefined) {
      freeSince = undefined
      return false
    }
    freeSince ??= performance.now()
    return performance.now() - freeSince >= takeoverDelayMs && lease.hold()
  }

  /**
   * @param last the first sample after the period, which is also the first of the next one
   * @returns the demand of the period
   */
  async function endPeriod({ startedAtMs, before, samples }: Period, last: QueueLoadSample): Promise<number> {
    period = undefined
    const finished = await finishedJobs.take()
    const average = (read: (sample: QueueLoadSample) => number) =>
      samples.reduce((sum, sample) => sum + read(sample), 0) / samples.length
    const point = {
      at: new Date(startedAtMs + publishPeriodMs).toISOString(),
      load: average(({ load }) => load),
      queueDepth: average(depthOf),
      oldestJobAgeMs: Math.max(...samples.map(({ oldestJobAgeMs }) => oldestJobAgeMs)),
      jobsFinished: countOf(finished),
      jobDurationMs: meanMs(finished) ?? null,
      slots: average(({ slots }) => slots),
    }
    const demand = demandOf({
      arrived: arrivedBetween(before, presentOf(last), point.jobsFinished),
      periodMs: publishPeriodMs,
      jobDurationMs: recentJobDurationMs([point, ...(await journal.points())]),
      slots: last.slots,
    })
    await journal.addPoint({ ...point, demand })
    if (!putFleetMetrics) return demand
    // Sampling does not wait for CloudWatch, so a slow CloudWatch does not let the lease expire.
    const write = attempt('metrics-failed', () => putFleetMetrics({ startedAtMs, samples, demand, finished }))
    writing = Promise.all([writing, write])
    return demand
  }

  /** Logs a failure once, until the same work succeeds again. The next period retries. */
  async function attempt(event: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
      failing.delete(event)
    } catch (error) {
      if (!failing.has(event)) log.warn({ err: error, event }, 'queue load')
      failing.add(event)
    }
  }

  function sampleOnce(): void {
    sampling ??= attempt('load-failed', sampleIfPublisher).finally(() => {
      sampling = undefined
    })
  }

  return {
    start(): void {
      timer = setInterval(sampleOnce, deps.samplePeriodMs).unref()
      sampleOnce()
    },
    /** Waits for all requests to CloudWatch, and releases the lease. If Redis does not respond, the lease expires. */
    async stop(): Promise<void> {
      clearInterval(timer)
      await sampling
      await writing
      if (holds) await lease.release().catch(() => undefined)
      holds = false
    },
  }
}

export type QueueLoadPublisher = ReturnType<typeof createQueueLoadPublisher>

type Durations = Pick<QueueLoadPoint, 'at' | 'jobsFinished' | 'jobDurationMs'>

/** Returns the recent average duration of jobs, in ms. @param points newest first, by any publisher */
function recentJobDurationMs(points: Durations[]): number {
  const durations = points.flatMap(({ at, jobsFinished: jobs, jobDurationMs: ms }) =>
    ms === null ? [] : [{ atMs: Date.parse(at), jobs, ms }],
  )
  const [latest] = durations
  if (!latest) return assumedJobDurationMs
  const since = Date.parse(points[0]?.at ?? '') - jobDurationWindowMs
  const recent = durations.filter(({ atMs }) => atMs > since)
  const jobs = recent.reduce((sum, point) => sum + point.jobs, 0)
  return jobs === 0 ? latest.ms : recent.reduce((sum, point) => sum + point.jobs * point.ms, 0) / jobs
}
