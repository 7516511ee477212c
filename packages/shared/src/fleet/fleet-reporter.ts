import { setTimeout as delay } from 'node:timers/promises'
import type { SQSClient } from '@aws-sdk/client-sqs'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { createRedisLease } from '../connections/redis-lease.ts'
import type { UploadQueue } from '../jobs/process-upload-job.ts'
import type { PutFleetMetrics } from './cloudwatch-metrics.ts'
import { createFinishedJobs } from './finished-jobs.ts'
import { createFinishedUploads } from './finished-uploads.ts'
import { createFleetHistory, historyPeriodMs } from './fleet-history.ts'
import { createFleetJournal } from './fleet-journal.ts'
import { createHeartbeatSchedule } from './heartbeat-schedule.ts'
import { createHeartbeats, fleetKey, type Tier } from './heartbeats.ts'
import { createHistoryRecorder } from './history-recorder.ts'
import { createInstanceEvents } from './instance-events.ts'
import { samplePeriodMs } from './queue-load.ts'
import { createQueueLoadPublisher, publisherLeaseMs } from './queue-load-publisher.ts'
import { createQueueSampler } from './queue-sampler.ts'
import type { RecentActivity } from './recent-activity.ts'

/** The API publishes after no worker has for this long, in ms. A worker takes over within a second. */
const apiTakeoverDelayMs = 10_000
/** How long a closing process waits for Redis, in ms. Without it, the heartbeat and the lease expire. */
const closeTimeoutMs = 1_000

/**
 * Publishes this process's heartbeats and, if it holds the publisher's lease, the fleet's queue load.
 *
 * @param deps.id unique name of this process
 * @param deps.slots number of concurrent jobs; 0 for the API
 * @param deps.publishPeriodMs period of one point of the metrics, in ms
 */
export function createFleetReporter(deps: {
  redis: Redis
  prefix: string
  sqs: SQSClient
  queueUrl: string
  queue: UploadQueue
  id: string
  tier: Tier
  version: string
  slots: number
  activity: RecentActivity
  putFleetMetrics: PutFleetMetrics | undefined
  publishPeriodMs: number
  log: Pick<Logger, 'info' | 'warn'>
}) {
  const { redis, prefix, sqs, queueUrl, queue, id, publishPeriodMs } = deps
  const heartbeats = createHeartbeats({ redis, prefix })
  const schedule = createHeartbeatSchedule({ ...deps, heartbeats })
  const publisher = createQueueLoadPublisher({
    lease: createRedisLease({
      redis,
      key: fleetKey(prefix, 'publisher'),
      holder: id,
      ttlMs: publisherLeaseMs,
    }),
    sampleQueue: createQueueSampler({ queue, sqs, queueUrl, heartbeats }),
    finishedJobs: createFinishedJobs({ redis, prefix }),
    journal: createFleetJournal({ redis, prefix }),
    historyRecorder: createHistoryRecorder({
      history: createFleetHistory({ redis, prefix }),
      finishedUploads: createFinishedUploads({ redis, prefix }),
      instanceEvents: createInstanceEvents({ redis, prefix, heartbeats }),
      periodMs: historyPeriodMs,
    }),
    putFleetMetrics: deps.putFleetMetrics,
    samplePeriodMs: Math.min(samplePeriodMs, publishPeriodMs),
    publishPeriodMs,
    takeoverDelayMs: deps.tier === 'worker' ? 0 : apiTakeoverDelayMs,
    log: deps.log,
  })

  return {
    start(): void {
      schedule.start()
      publisher.start()
    },
    /** Marks this process as draining and releases the publisher's lease. Resolves within `closeTimeoutMs`. */
    async drain(): Promise<void> {
      await withTimeout(Promise.all([schedule.drain(), publisher.stop()]))
    },
    /** Removes this process from the fleet. Resolves within `closeTimeoutMs`. */
    async stop(): Promise<void> {
      await withTimeout(Promise.all([schedule.stop(), publisher.stop()]))
    },
  }
}

export type FleetReporter = ReturnType<typeof createFleetReporter>

/** Resolves after `closeTimeoutMs` at the latest. Without Redis, each command takes seconds to fail. */
async function withTimeout(closing: Promise<unknown>): Promise<void> {
  const settled = new AbortController()
  const timeout = delay(closeTimeoutMs, undefined, { signal: settled.signal }).catch(() => undefined)
  await Promise.race([closing, timeout]).finally(() => settled.abort())
}
