import { createFinishedJobs } from '@millrace/shared/fleet/finished-jobs.ts'
import { createRecentActivity } from '@millrace/shared/fleet/recent-activity.ts'
import { importQueueName } from '@millrace/shared/jobs/import-upload-job.ts'
import { uploadQueueName } from '@millrace/shared/jobs/process-upload-job.ts'
import { noTracing, type Tracing } from '@millrace/shared/tracing/tracing.ts'
import { webhookQueueName } from '@millrace/shared/webhooks/delivery-queue.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Imports } from '../imports/imports.ts'
import type { Processing } from '../processing/processing.ts'
import { type Webhooks, webhookSlotsPerWorker } from '../webhooks/webhooks.ts'
import { createActiveJobs, uncountedActiveJobs } from './active-jobs.ts'
import { createJobHandlers, createProcessor } from './job-handlers.ts'
import { createOldestJob } from './oldest-job.ts'
import { createOwnerSlots } from './owner-slots.ts'
import { createQueueWorker } from './queue-worker.ts'

/**
 * Composes the queue workers, one for uploads, one for imports and one for webhooks.
 *
 * @param deps.redis for commands
 * @param deps.blockingRedis a connection that waits for Redis without a limit
 * @returns `activity` measures the jobs of the upload queue, `oldestJob` those of all queues
 */
export function createJobs(deps: {
  redis: Redis
  blockingRedis: Redis
  prefix: string
  log: Logger
  processing: Processing
  imports: Imports
  webhooks: Webhooks
  tracing?: Tracing
  config: { slots: number; importSlots: number; importSlotsPerOwner: number }
}) {
  const { redis, blockingRedis, prefix, log, processing, imports, webhooks, config } = deps
  const { tracing = noTracing } = deps
  const handlers = createJobHandlers({ ...processing, ...imports, ...webhooks })
  const activity = createRecentActivity()
  const activeJobs = createActiveJobs({ activity, finishedJobs: createFinishedJobs({ redis, prefix }) })
  const oldestJob = createOldestJob()
  const base = { redis: blockingRedis, prefix, log, tracing }
  const uploadQueueWorker = createQueueWorker({
    ...base,
    queueName: uploadQueueName,
    slots: config.slots,
    processor: createProcessor({ handlers, activeJobs, oldestJob, log, tracing }),
  })
  const importQueueWorker = createQueueWorker({
    ...base,
    queueName: importQueueName,
    slots: config.importSlots,
    processor: createProcessor({
      handlers,
      activeJobs: uncountedActiveJobs,
      oldestJob,
      ownerSlots: createOwnerSlots(config.importSlotsPerOwner),
      log,
      tracing,
    }),
  })
  const webhookQueueWorker = createQueueWorker({
    ...base,
    queueName: webhookQueueName,
    slots: webhookSlotsPerWorker,
    processor: createProcessor({ handlers, activeJobs: uncountedActiveJobs, oldestJob, log, tracing }),
  })
  const queueWorkers = [uploadQueueWorker, importQueueWorker, webhookQueueWorker]

  return {
    activity,
    oldestJob,
    /** Sets how many active upload jobs only wait, and so use no slot. */
    setWaiting: uploadQueueWorker.setWaiting,
    /** Starts taking jobs. */
    async start(): Promise<void> {
      await Promise.all(queueWorkers.map((worker) => worker.start()))
    },
    /**
     * Takes no new jobs, lets active ones finish until the deadline, and hands back the rest.
     * @param deadlineMs in ms
     */
    async drain(deadlineMs: number): Promise<void> {
      await Promise.all(queueWorkers.map((worker) => worker.drain(deadlineMs)))
    },
  }
}
