import { AsyncLocalStorage } from 'node:async_hooks'
import { isOutage } from '@millrace/shared/connections/outage.ts'
import type { JobName } from '@millrace/shared/jobs/job-name.ts'
import { noTracing, type Tracing } from '@millrace/shared/tracing/tracing.ts'
import { Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { createProcessor } from './job-handlers.ts'

/**
 * Both in ms. They determine how soon another worker takes the job of a worker that died: its lock must expire, then the
 * next check for stalled jobs must run. Locks are renewed at half their duration, by the main thread, which decodes no
 * images.
 */
const lockDurationMs = 10_000
const stalledIntervalMs = 5_000

/** How many jobs may wait within a worker, for each slot. They could be taken by another worker. */
const maxWaitingPerSlot = 8

/**
 * How long no job is taken after Redis refused a command, as it does while it is full or loading, in ms. BullMQ waits only if the
 * connection is lost: otherwise it would ask again at once, a thousand times a second.
 */
const refusedPauseMs = 1_000

/**
 * Runs a queue's jobs.
 *
 * @param deps.redis a connection that waits for Redis without a limit
 * @param deps.slots the number of jobs at a time
 * @param deps.tracing continues the traces of jobs; default: nothing is traced
 */
export function createQueueWorker(deps: {
  queueName: string
  redis: Redis
  prefix: string
  slots: number
  processor: ReturnType<typeof createProcessor>
  log: Logger
  tracing?: Pick<Tracing, 'telemetry'>
}) {
  const { log } = deps
  /** A loop that begins within a job's context would keep it, and so would all later jobs and log lines. */
  const outsideOfJobs = AsyncLocalStorage.snapshot()
  const { telemetry } = deps.tracing ?? noTracing
  const worker = new Worker<unknown, void, JobName>(deps.queueName, deps.processor, {
    connection: deps.redis,
    prefix: deps.prefix,
    concurrency: deps.slots,
    lockDuration: lockDurationMs,
    stalledInterval: stalledIntervalMs,
    // BullMQ fails a job after one more stall than this, whatever the cause. Here, a job whose worker died is
    // retried without limit: an image cannot kill its worker, since it is decoded in another process.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
    autorun: false,
    ...(telemetry && { telemetry }),
  })
  /** Set while no job is taken because Redis refused a command. */
  let pausing: NodeJS.Timeout | undefined
  worker.on('error', (error) => {
    log.warn({ err: error, event: 'queue-error' }, 'queue worker failed')
    if (error.name === 'ReplyError' && isOutage(error)) pauseShortly()
  })
  worker.on('stalled', (jobId) => log.warn({ event: 'stalled', jobId }, 'job stalled: its worker was lost'))
  let running: Promise<void> = Promise.resolve()

  /** Takes no jobs for `refusedPauseMs`. Active ones go on. */
  function pauseShortly(): void {
    if (pausing || worker.closing) return
    // Neither promise has a rejection.
    outsideOfJobs(() => void worker.pause(true))
    pausing = setTimeout(() => {
      pausing = undefined
      if (!worker.closing) outsideOfJobs(() => void worker.resume())
    }, refusedPauseMs)
  }

  return {
    /**
     * Sets how many active jobs only wait. As many more are taken at once, up to a limit.
     */
    setWaiting(count: number): void {
      const before = worker.concurrency
      worker.concurrency = deps.slots + Math.min(count, maxWaitingPerSlot * deps.slots)
      if (worker.concurrency <= before || worker.closing || worker.isPaused()) return
      // BullMQ looks at its concurrency again when a job ends, or when it resumes. Neither promise has a rejection.
      outsideOfJobs(() => {
        void worker.pause(true)
        void worker.resume()
      })
    },
    /** Starts taking jobs. */
    async start(): Promise<void> {
      await worker.waitUntilReady()
      running = worker.run()
    },
    /**
     * Takes no new jobs, lets active ones finish until the deadline, and hands back the rest.
     * @param deadlineMs in ms
     */
    async drain(deadlineMs: number): Promise<void> {
      clearTimeout(pausing)
      const deadline = setTimeout(() => worker.cancelAllJobs('draining'), deadlineMs)
      try {
        await worker.close()
        await running
      } finally {
        clearTimeout(deadline)
      }
    },
  }
}

export type QueueWorker = ReturnType<typeof createQueueWorker>
