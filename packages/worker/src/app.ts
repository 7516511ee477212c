import type { Clients } from '@millrace/shared/connections/connections.ts'
import type { PutFleetMetrics } from '@millrace/shared/fleet/cloudwatch-metrics.ts'
import { createFleetJournal } from '@millrace/shared/fleet/fleet-journal.ts'
import { createFleetReporter } from '@millrace/shared/fleet/fleet-reporter.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createMetrics, type Metrics } from '@millrace/shared/metrics/metrics.ts'
import { watchQueue } from '@millrace/shared/metrics/watch-queue.ts'
import { withDeadline } from '@millrace/shared/service/deadline.ts'
import { noTracing, type Tracing } from '@millrace/shared/tracing/tracing.ts'
import { createDeliveryQueue } from '@millrace/shared/webhooks/delivery-queue.ts'
import type { Logger } from 'pino'
import packageJson from '../package.json' with { type: 'json' }
import { createArrivals, maxPollWaitMs } from './arrivals/arrivals.ts'
import type { Config } from './config.ts'
import { createDecoders } from './decoders/decoders.ts'
import { createImports } from './imports/imports.ts'
import { createJobs } from './jobs/jobs.ts'
import { createWorkerMetrics } from './metrics/metrics.ts'
import { createProcessing } from './processing/processing.ts'
import { createReconciliation } from './reconciliation/reconciliation.ts'
import { createTrimming } from './trimming/trimming.ts'
import { createWebhooks } from './webhooks/webhooks.ts'
import { createWithdrawal } from './withdrawals/withdrawals.ts'

/** How long handing back unfinished jobs may take after the drain's deadline, in ms. */
const handBackTimeoutMs = 3_000

/**
 * Composes the worker from its rooms: events from SQS become jobs, jobs process uploads, import files and send
 * webhooks, withdrawn variants leave the CDN, a daily sweep corrects what was missed, and trimming keeps history from filling Redis. The caller closes the clients, after the app.
 *
 * @param clients.redis for commands
 * @param clients.blockingRedis for the queues' blocking commands
 * @param clients.streamingS3 for streamed bodies
 * @param clients.metrics of the process; default: metrics without its clients and its Node
 * @param clients.putFleetMetrics writes the fleet's metrics to CloudWatch; undefined: they are in Redis only
 * @param clients.tracing of this process; default: nothing is traced
 */
export function createApp(
  config: Config,
  log: Logger,
  clients: Clients & {
    blockingRedis: Clients['redis']
    metrics?: Metrics
    putFleetMetrics?: PutFleetMetrics | undefined
    tracing?: Tracing
  },
) {
  const { bucket, redisPrefix: prefix } = config
  const { redis, putFleetMetrics, tracing = noTracing } = clients
  const {
    metrics = createMetrics({
      service: 'worker',
      instance: config.instance,
      version: packageJson.version,
    }),
  } = clients
  const { observeAttempt, recordWebhooks, watchDecoders, watchJobs } = createWorkerMetrics(metrics)
  const queue = createUploadQueue({ redis, prefix, maxQueuedJobs: config.maxQueuedJobs, tracing })
  const deliveryQueue = createDeliveryQueue({ redis, prefix, tracing })
  const base = { ...clients, config, log, prefix, bucket, queue, tracing }

  const lifecycle = createLifecycle({
    ...base,
    quotaLimits: config.quota,
    addressQuotaLimits: config.addressQuota,
    hasCdn: config.cdnDistributionId !== undefined,
    maxBufferedBytes: config.maxBufferedBytes,
    announceEvent: deliveryQueue.announce,
  })
  // A large image that waits uses no slot, so that others pass it.
  const decoders = createDecoders({ ...base, onLargeWaiting: (count) => jobs.setWaiting(count) })
  const processing = createProcessing({ ...base, lifecycle, decoders, version: packageJson.version })
  const arrivals = createArrivals({ ...base, lifecycle, processing })
  const reconciliation = createReconciliation({ ...base, lifecycle })
  const imports = createImports({ ...base, lifecycle })
  const webhooks = createWebhooks({ ...base, ...lifecycle, queue: deliveryQueue, recordWebhooks })
  const trimming = createTrimming(base)
  const withdrawal = createWithdrawal({ ...base, lifecycle })
  const jobs = createJobs({ ...base, processing, imports, webhooks, observeAttempt })
  watchDecoders(decoders.usage)
  watchJobs(config.slots, jobs.activity.active)
  watchQueue(metrics, createFleetJournal({ redis, prefix }).sample)
  const fleetReporter = createFleetReporter({
    ...base,
    queueUrl: config.eventsQueueUrl,
    id: config.instance,
    tier: 'worker',
    version: packageJson.version,
    slots: config.slots,
    activity: jobs.activity,
    putFleetMetrics,
    publishPeriodMs: config.publishPeriodMs,
  })

  return {
    /** Measures how long the oldest active job has been running, imports included. */
    oldestJob: jobs.oldestJob,
    /** Starts the first decoder, before `start`. @throws Error if decoders do not start on this machine */
    prepareDecoder: decoders.prepare,
    async start(): Promise<void> {
      await jobs.start()
      arrivals.start()
      reconciliation.start()
      webhooks.relay.start()
      trimming.start()
      withdrawal.start()
      fleetReporter.start()
    },
    /**
     * Takes no new work, finishes or hands back active jobs, and closes the queues.
     * @param options.deadlineMs how long active jobs may take, in ms
     * @param options.waitForPoll waits for the active request to SQS, so that no message stays invisible
     * @throws DeadlineError soon after the deadline if Redis or S3 does not respond. Messages then become visible again,
     *   and other workers take the jobs when their locks expire
     */
    async close({ deadlineMs = config.drainDeadlineMs, waitForPoll = false } = {}): Promise<void> {
      const drainMs = Math.max(deadlineMs, waitForPoll ? maxPollWaitMs : 0)
      await withDeadline('The drain', drainMs + handBackTimeoutMs, async () => {
        const drained = Promise.all([jobs.drain(deadlineMs), fleetReporter.drain()])
        await Promise.all([
          arrivals.stop({ waitForPoll, drained }),
          reconciliation.stop(),
          webhooks.relay.stop(),
          trimming.stop(),
          withdrawal.stop(),
          drained.then(() => fleetReporter.stop()),
        ])
        // The queues are closed last: an import adds a job when it ends, and so may a held message.
        await Promise.all([queue.close(), deliveryQueue.close()])
        await decoders.close()
      })
    },
  }
}
