import type { S3Client } from '@aws-sdk/client-s3'
import type { SQSClient } from '@aws-sdk/client-sqs'
import type { PutFleetMetrics } from '@millrace/shared/fleet/cloudwatch-metrics.ts'
import { createFleetHistory } from '@millrace/shared/fleet/fleet-history.ts'
import { createFleetJournal } from '@millrace/shared/fleet/fleet-journal.ts'
import { createFleetReporter } from '@millrace/shared/fleet/fleet-reporter.ts'
import { createHeartbeats } from '@millrace/shared/fleet/heartbeats.ts'
import { createInstanceEvents } from '@millrace/shared/fleet/instance-events.ts'
import { createRecentActivity } from '@millrace/shared/fleet/recent-activity.ts'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { Api } from '../http/api.ts'
import type { EndedIdentities } from '../identity/ended-identities.ts'
import type { ObserveRequest } from '../metrics/metrics.ts'
import type { EventStreams } from '../streams/server-sent-events.ts'
import { clusterRoutes } from './cluster-routes.ts'
import { createClusterView } from './cluster-view.ts'
import { createBurnCpu } from './cpu-burn.ts'
import { cpuBurnRoutes } from './cpu-burn-routes.ts'
import { healthRoutes } from './health-routes.ts'
import { createReadiness } from './readiness.ts'
import { trackRequests } from './track-requests.ts'

/**
 * Composes what the instance reports of itself and of the fleet.
 *
 * @param deps.putFleetMetrics writes the fleet's metrics to CloudWatch; undefined: they are in Redis only
 * @param deps.draining aborts when the instance should get no more requests
 * @param deps.closing aborts when the instance shuts down
 */
export function createFleet(deps: {
  redis: Redis
  prefix: string
  s3: S3Client
  bucket: string
  sqs: SQSClient
  queue: UploadQueue
  log: Logger
  config: { eventsQueueUrl: string; instance: string; publishPeriodMs: number }
  version: string
  putFleetMetrics: PutFleetMetrics | undefined
  draining: AbortSignal
  closing: AbortSignal
  observeRequest: ObserveRequest
}) {
  const { redis, prefix, s3, bucket, sqs, queue, log, version, putFleetMetrics, draining, closing } = deps
  const { eventsQueueUrl: queueUrl, instance, publishPeriodMs } = deps.config

  return {
    /**
     * Counts the requests of an app, and sends heartbeats from `listen` until it closes.
     * @returns a function that returns the number of active requests
     */
    report(app: Api): () => number {
      const activity = createRecentActivity()
      trackRequests(app, activity, deps.observeRequest)
      const reporter = createFleetReporter({
        redis,
        prefix,
        sqs,
        queueUrl,
        queue,
        id: instance,
        tier: 'api',
        version,
        slots: 0,
        activity,
        putFleetMetrics,
        publishPeriodMs,
        log,
      })
      app.addHook('onListen', async () => reporter.start())
      app.addHook('preClose', async () => reporter.drain())
      app.addHook('onClose', async () => reporter.stop())
      return activity.active
    },
    /** Adds `/health` and `/ready`. */
    registerHealth(app: Api): void {
      healthRoutes(app, {
        checkReadiness: createReadiness({ redis, prefix, instance, s3, sqs, bucket, queueUrl }),
        instance,
        version,
        draining: AbortSignal.any([draining, closing]),
      })
    },
    /** Adds `/admin/cluster` and `/load`. */
    register(scope: Api, streams: { eventStreams: EventStreams; endedIdentities: EndedIdentities }): void {
      const heartbeats = createHeartbeats({ redis, prefix })
      const viewCluster = createClusterView({
        heartbeats,
        journal: createFleetJournal({ redis, prefix }),
        history: createFleetHistory({ redis, prefix }),
        instanceEvents: createInstanceEvents({ redis, prefix, heartbeats }),
      })
      clusterRoutes(scope, { viewCluster, ...streams })
      cpuBurnRoutes(scope, { burnCpu: createBurnCpu(closing), instance })
    },
  }
}
