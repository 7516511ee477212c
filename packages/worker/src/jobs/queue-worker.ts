import type { JobName } from '@millrace/shared/jobs/job-name.ts'
import { Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { createProcessor } from './job-handlers.ts'

/**
 * How soon a job is taken over whose worker died: its lock has to run out, then the next check for stalled
 * jobs has to come. Both in milliseconds. Locks are renewed at half their duration; pixels are not worked on
 * by the thread that does so.
 */
const lockDurationMs = 10_000
const stalledIntervalMs = 5_000

/**
 * Works on a queue's jobs, several at once.
 *
 * @param deps.queueName the queue
 * @param deps.redis a connection that waits for Redis as long as it takes
 * @param deps.slots how many jobs at once
 */
export function createQueueWorker(deps: {
  queueName: string
  redis: Redis
  prefix: string
  slots: number
  processor: ReturnType<typeof createProcessor>
  log: Logger
}) {
  const { log } = deps
  const worker = new Worker<unknown, void, JobName>(deps.queueName, deps.processor, {
    connection: deps.redis,
    prefix: deps.prefix,
    concurrency: deps.slots,
    lockDuration: lockDurationMs,
    stalledInterval: stalledIntervalMs,
    // BullMQ would fail a job by itself after one stall more than this, whoever's fault it was. Here a job
    // that is lost with its worker is tried again without end, in quarantine from the second time on, where
    // a harmful image shows itself and a redeploy does not.
    maxStalledCount: Number.MAX_SAFE_INTEGER,
    autorun: false,
  })
  worker.on('error', (error) => log.warn({ err: error, event: 'queue-error' }, 'queue'))
  worker.on('stalled', (jobId) => log.warn({ event: 'stalled', jobId }, 'its worker was lost'))
  let running: Promise<void> = Promise.resolve()

  return {
    /** Begins to take jobs. */
    async start(): Promise<void> {
      await worker.waitUntilReady()
      running = worker.run()
    },
    /**
     * Takes no more jobs, lets active ones finish until the deadline and hands those back that do not.
     * @param deadlineMs milliseconds
     */
    async drain(deadlineMs: number): Promise<void> {
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
