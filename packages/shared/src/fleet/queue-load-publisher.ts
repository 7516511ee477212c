import type { Logger } from 'pino'
import type { RedisLease } from '../service/redis-lease.ts'
import type { PutFleetMetrics } from './cloudwatch-metrics.ts'
import type { FinishedJobs } from './finished-jobs.ts'
import {
  depthOf,
  type FleetJournal,
  presentOf,
  type QueueLoadPoint,
  type QueueLoadSample,
} from './fleet-journal.ts'
import { countOf, meanMs } from './latency-histogram.ts'
import { arrivedBetween, assumedJobDurationMs, demandOf, jobDurationWindowMs } from './queue-load.ts'
import type { SampleQueue } from './queue-sampler.ts'

/** How long the lease lasts that is not renewed, in milliseconds: so soon does a dead publisher have an heir. */
export const publisherLeaseMs = 4_000

/** What has been seen of a period so far. `before`: jobs and messages that were there when it began. */
type Period = { startedAtMs: number; before: number; samples: QueueLoadSample[] }

/**
 * Publishes the fleet's load: every process may run one, and a lease lets one at a time do it. It looks at the
 * queue every second and writes what it saw once a period, of the periods that CloudWatch has too (multiples of
 * ten seconds since 1970).
 *
 * @param deps.putFleetMetrics where it writes besides Redis; undefined off AWS
 * @param deps.samplePeriodMs between two looks at the queue, in milliseconds
 * @param deps.publishPeriodMs what a point covers, in milliseconds
 * @param deps.takeoverDelayMs how long nobody must have held the lease before this process takes it; workers have
 *   none, the API stands in where there are no workers, as in a fleet scaled to zero
 */
export function createQueueLoadPublisher(deps: {
  lease: RedisLease
  sampleQueue: SampleQueue
  finishedJobs: FinishedJobs
  journal: FleetJournal
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
    putFleetMetrics,
    publishPeriodMs,
    takeoverDelayMs,
    log,
  } = deps
  let timer: NodeJS.Timeout | undefined
  let turn: Promise<void> | undefined
  let writing: Promise<void> | undefined
  let holds = false
  let freeSince: number | undefined
  let period: Period | undefined
  const failing = new Set<string>()

  async function takeTurn(): Promise<void> {
    const held = await holdLease()
    if (held !== holds) log.info({ event: held ? 'publisher' : 'publisher-no-more' }, 'load')
    holds = held
    if (!holds) {
      period = undefined
      return
    }
    const startedAtMs = Math.floor(Date.now() / publishPeriodMs) * publishPeriodMs
    const sample = await sampleQueue()
    if (period?.startedAtMs !== startedAtMs) {
      if (period) await endPeriod(period, sample)
      period = { startedAtMs, before: presentOf(sample), samples: [] }
    }
    period.samples.push(sample)
    await journal.setSample(sample)
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

  /** @param last taken when the period was over, and the first one of the next */
  async function endPeriod({ startedAtMs, before, samples }: Period, last: QueueLoadSample): Promise<void> {
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
    if (!putFleetMetrics) return
    // Looking at the queue does not wait for CloudWatch, and a lease does not run out over it.
    writing = attempt('metrics-failed', () => putFleetMetrics({ startedAtMs, samples, demand, finished }))
  }

  /** What fails is told once, until it works again: the next second may do better. */
  async function attempt(event: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
      failing.delete(event)
    } catch (error) {
      if (!failing.has(event)) log.warn({ err: error, event }, 'load')
      failing.add(event)
    }
  }

  function turnUnlessTaken(): void {
    turn ??= attempt('load-failed', takeTurn).finally(() => {
      turn = undefined
    })
  }

  return {
    start(): void {
      timer = setInterval(turnUnlessTaken, deps.samplePeriodMs).unref()
      turnUnlessTaken()
    },
    /** Hands the lease on. Redis away, it runs out by itself. */
    async stop(): Promise<void> {
      clearInterval(timer)
      await turn
      await writing
      if (holds) await lease.release().catch(() => undefined)
      holds = false
    },
  }
}

export type QueueLoadPublisher = ReturnType<typeof createQueueLoadPublisher>

type Durations = Pick<QueueLoadPoint, 'at' | 'jobsFinished' | 'jobDurationMs'>

/** How long jobs took lately, whoever published that, in milliseconds. @param points newest first */
function recentJobDurationMs(points: Durations[]): number {
  const told = points.flatMap(({ at, jobsFinished: jobs, jobDurationMs: ms }) =>
    ms === null ? [] : [{ atMs: Date.parse(at), jobs, ms }],
  )
  const [latest] = told
  if (!latest) return assumedJobDurationMs
  const since = Date.parse(points[0]?.at ?? '') - jobDurationWindowMs
  const recent = told.filter(({ atMs }) => atMs > since)
  const jobs = recent.reduce((sum, point) => sum + point.jobs, 0)
  return jobs === 0 ? latest.ms : recent.reduce((sum, point) => sum + point.jobs * point.ms, 0) / jobs
}
