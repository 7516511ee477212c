import { setTimeout as delay } from 'node:timers/promises'
import type { SQSClient } from '@aws-sdk/client-sqs'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { UploadQueue } from '../jobs/process-upload-job.ts'
import { createRedisLease } from '../service/redis-lease.ts'
import type { PutFleetMetrics } from './cloudwatch-metrics.ts'
import { createFinishedJobs } from './finished-jobs.ts'
import { createFleetJournal } from './fleet-journal.ts'
import { createHeartbeatSchedule } from './heartbeat-schedule.ts'
import { createHeartbeats, fleetKey, type Tier } from './heartbeats.ts'
import { samplePeriodMs } from './queue-load.ts'
import { createQueueLoadPublisher, publisherLeaseMs } from './queue-load-publisher.ts'
import { createQueueSampler } from './queue-sampler.ts'
import type { RecentActivity } from './recent-activity.ts'

/** For how long the API leaves the publishing to workers, in milliseconds. One of them takes it within a second. */
const apiTakeoverDelayMs = 10_000
/** How long a process that leaves waits for Redis to take that down, in milliseconds: untold it shows by itself. */
const closeTimeoutMs = 1_000

/**
 * What a process tells the fleet of itself (heartbeats), and of the fleet, where it is the one to do so (load).
 *
 * @param deps.id names this process, and no other
 * @param deps.slots how many jobs at once; 0 for the API
 * @param deps.publishPeriodMs what one value of the load covers, in milliseconds
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
    /** This process takes nothing more: nobody is to count on it, and another one is to publish. */
    async drain(): Promise<void> {
      await briefly(Promise.all([schedule.drain(), publisher.stop()]))
    },
    /** The process is about to end. */
    async stop(): Promise<void> {
      await briefly(Promise.all([schedule.stop(), publisher.stop()]))
    },
  }
}

export type FleetReporter = ReturnType<typeof createFleetReporter>

/** Where Redis is away each command takes seconds to say so. */
async function briefly(farewell: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  const patience = delay(closeTimeoutMs, undefined, { signal: over.signal }).catch(() => undefined)
  await Promise.race([farewell, patience]).finally(() => over.abort())
}
