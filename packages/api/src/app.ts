import type { Clients } from '@millrace/shared/connections/connections.ts'
import { createSubscriber } from '@millrace/shared/connections/subscriber.ts'
import type { PutFleetMetrics } from '@millrace/shared/fleet/cloudwatch-metrics.ts'
import { createFleetJournal } from '@millrace/shared/fleet/fleet-journal.ts'
import { createQueues } from '@millrace/shared/jobs/queues.ts'
import { createLifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createMetrics, type Metrics } from '@millrace/shared/metrics/metrics.ts'
import { watchQueue } from '@millrace/shared/metrics/watch-queue.ts'
import { createBudget } from '@millrace/shared/network/budget.ts'
import { noTracing, type Tracing } from '@millrace/shared/tracing/tracing.ts'
import { createDeliveryQueue } from '@millrace/shared/webhooks/delivery-queue.ts'
import type { Logger } from 'pino'
import packageJson from '../package.json' with { type: 'json' }
import { registerAdmin } from './admin/admin.ts'
import { createAnnouncing } from './announcing/announcing.ts'
import type { Config } from './config.ts'
import { consoleRoutes } from './console/console-routes.ts'
import { registerDirectUpload } from './direct/direct.ts'
import { registerDownloads } from './downloads/downloads.ts'
import { registerEvents } from './events/events.ts'
import { createFleet } from './fleet/fleet.ts'
import type { Api } from './http/api.ts'
import { createHttp, type TraceRequests } from './http/http.ts'
import { createIdentity } from './identity/identity.ts'
import { limitRequests } from './limits/limits.ts'
import { createListing } from './listing/listing.ts'
import { createApiMetrics } from './metrics/metrics.ts'
import { metricsRoutes } from './metrics/metrics-routes.ts'
import { openapiRoutes } from './openapi/openapi-routes.ts'
import { refuseUnknownParameters } from './requests/unknown-parameters.ts'
import { createSigning } from './signing/signing.ts'
import { createEventStreams } from './streams/server-sent-events.ts'
import { createTenants } from './tenants/tenants.ts'
import { registerUsers } from './tenants/users.ts'
import { registerTus } from './tus/tus.ts'
import { createUploads } from './uploads/uploads.ts'
import { registerUppy } from './uppy/uppy.ts'
import { registerWebhooks } from './webhooks/webhooks.ts'

const { version } = packageJson

/**
 * Composes the API from its rooms, in the order in which data passes through them. It owns none of the clients: who built
 * them closes them, after the app.
 *
 * @param deps.redis for commands
 * @param deps.subscriberRedis a connection of `connectSubscriberRedis`, for messages alone
 * @param deps.publicS3 signs requests that clients send to S3; default: `s3`
 * @param deps.draining aborts when the instance should get no more requests; it may run on for a while
 * @param deps.streamingS3 for bodies that pass through
 * @param deps.metrics of the process; default: metrics without its clients and its Node
 * @param deps.putFleetMetrics writes the fleet's metrics to CloudWatch; undefined: they are in Redis only
 * @param deps.tracing of this process; default: nothing is traced
 * @param deps.traceRequests makes each request a span; undefined: none is
 */
export async function createApp(
  deps: Clients & {
    config: Config
    log: Logger
    subscriberRedis: Clients['redis']
    publicS3?: Clients['s3']
    draining?: AbortSignal
    metrics?: Metrics
    putFleetMetrics?: PutFleetMetrics | undefined
    tracing?: Tracing
    traceRequests?: TraceRequests | undefined
  },
) {
  const { config, log, subscriberRedis, putFleetMetrics, redis, s3, streamingS3, sqs } = deps
  const { publicS3 = s3, tracing = noTracing, traceRequests } = deps
  const { metrics = createMetrics({ service: 'api', instance: config.instance, version }) } = deps
  const { bucket, redisPrefix: prefix } = config
  const { countProblem, observeRequest, watchActiveRequests } = createApiMetrics(metrics)
  const subscriber = createSubscriber({ redis: subscriberRedis, log })
  const base = { config, log, redis, prefix, s3, streamingS3, bucket, subscriber, tracing }
  const secure = config.publicOrigin.startsWith('https:')

  const queues = createQueues({ ...base, maxQueuedJobs: config.maxQueuedJobs })
  const deliveryQueue = createDeliveryQueue({ redis: queues.redis, prefix, tracing })
  const lifecycle = createLifecycle({
    ...base,
    queue: queues.queue,
    quotaLimits: config.quota,
    addressQuotaLimits: config.addressQuota,
    hasCdn: config.cdn !== undefined,
    maxBufferedBytes: config.maxBufferedBytes,
    announceEvent: deliveryQueue.announce,
  })
  const { app, closing, protect } = createHttp({ ...base, traceRequests, countProblem })
  const { draining = closing } = deps
  // Hooks of `onClose` run in reverse order: the fleet's reporter uses the queue until it stops.
  app.addHook('onClose', async () => {
    await deliveryQueue.close()
    await queues.close()
  })
  const fleet = createFleet({
    ...base,
    sqs,
    queue: queues.queue,
    version,
    putFleetMetrics,
    draining,
    closing,
    observeRequest,
  })
  watchActiveRequests(fleet.report(app))
  watchQueue(metrics, createFleetJournal({ redis, prefix }).sample)
  await protect({ secure })
  const { limitCallers } = await limitRequests(app, base)

  const { tenantUsers } = lifecycle
  const eventStreams = createEventStreams({ limits: config.eventStreams, closing })
  const {
    owner,
    cookieName,
    callerOf,
    endedIdentities,
    uploadTokens,
    revokedTokens,
    keyStore,
    keyUses,
    storedKeys,
    register: registerIdentity,
  } = createIdentity({ ...base, secure, tenantUsers })
  endedIdentities.onEnded(eventStreams.check)
  storedKeys.onEnded(() => eventStreams.check())
  const signing = createSigning({ s3: publicS3, bucket, cdn: config.cdn, log })
  const tenants = createTenants({
    ...base,
    ...{ lifecycle, uploadTokens, revokedTokens, endedIdentities, keyStore, keyUses, storedKeys },
    tenantUsers,
  })
  const { tokenUse } = tenants
  const announcing = createAnnouncing({ ...base, lifecycle, queues, signing, owner, tokenUse })
  const listing = createListing({ ...base, lifecycle, owner, closing })
  const uploads = createUploads({ ...base, lifecycle, announcing, listing, queues, owner, tokenUse })
  const uploadsAtOnce = createBudget({
    unit: 'files being sent',
    code: 'too_many_uploads',
    limits: config.uploadsAtOnce,
  })
  const rooms = {
    ...base,
    lifecycle,
    deliveryQueue,
    signing,
    announcing,
    listing,
    uploads,
    owner,
    tokenUse,
    uploadsAtOnce,
    eventStreams,
    endedIdentities,
    tenantUsers,
    closing,
  }

  const { consoleDirectory: directory, publicPath } = config
  await openapiRoutes(app, { version, cookieName, publicPath, hasConsole: directory !== undefined })
  app.register(async (scope: Api) => {
    refuseUnknownParameters(scope)
    fleet.registerHealth(scope)
  })
  app.register(async (scope: Api) => {
    refuseUnknownParameters(scope)
    registerIdentity(scope)
    limitCallers(scope, callerOf)
    tenants.register(scope)
    registerUsers(scope, { ...rooms, eraseUpload: uploads.eraseUpload })
    uploads.register(scope)
    registerDirectUpload(scope, rooms)
    registerTus(scope, rooms)
    registerUppy(scope, rooms)
    registerDownloads(scope, rooms)
    registerEvents(scope, rooms)
    registerWebhooks(scope, rooms)
    fleet.register(scope, rooms)
    registerAdmin(scope, { ...rooms, sqs, queues })
    metricsRoutes(scope, metrics)
  })
  if (directory) {
    const bucketOrigin = await signing.signer.origin()
    await consoleRoutes(app, { directory, publicPath, bucketOrigin, cdnOrigin: signing.cdn?.origin })
  }
  return app
}

export type App = Awaited<ReturnType<typeof createApp>>
