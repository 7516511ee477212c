import { randomUUID } from 'node:crypto'
import type { S3Client } from '@aws-sdk/client-s3'
import type { SQSClient } from '@aws-sdk/client-sqs'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import type { PutFleetMetrics } from '@millrace/shared/fleet/cloudwatch-metrics.ts'
import { createFleetJournal } from '@millrace/shared/fleet/fleet-journal.ts'
import { createFleetReporter } from '@millrace/shared/fleet/fleet-reporter.ts'
import { createHeartbeats } from '@millrace/shared/fleet/heartbeats.ts'
import { createRecentActivity } from '@millrace/shared/fleet/recent-activity.ts'
import { createImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createEraseObjects, createEraseUnfinished } from '@millrace/shared/ledger/erase-objects.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { createStoreOriginal } from '@millrace/shared/ledger/store-original.ts'
import { createEraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { createReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import { createUploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import { createQuota } from '@millrace/shared/quotas/quota.ts'
import { createQuotaReservations } from '@millrace/shared/quotas/quota-reservations.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import fastify from 'fastify'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import packageJson from '../package.json' with { type: 'json' }
import type { Config } from './config.ts'
import { consoleRoutes } from './console/console-routes.ts'
import { createDirectUpload } from './direct/direct-upload.ts'
import { directUploadRoutes } from './direct/direct-upload-routes.ts'
import { downloadRoutes } from './downloads/download-routes.ts'
import { createDownloadSigner } from './downloads/sign-download.ts'
import { eventRoutes } from './events/event-routes.ts'
import { createUploadChanges } from './events/upload-changes.ts'
import { createWatchOwner } from './events/watch-owner.ts'
import { createWatchUpload } from './events/watch-upload.ts'
import { clusterRoutes } from './fleet/cluster-routes.ts'
import { createClusterView } from './fleet/cluster-view.ts'
import { createBurnCpu } from './fleet/cpu-burn.ts'
import { cpuBurnRoutes } from './fleet/cpu-burn-routes.ts'
import { healthRoutes } from './fleet/health-routes.ts'
import { createReadiness } from './fleet/readiness.ts'
import { trackRequests } from './fleet/track-requests.ts'
import type { Api } from './http/api.ts'
import { closeUnusedConnections } from './http/close-unused-connections.ts'
import { httpLimits, refuseOddRequests, routerLimits } from './http/http-limits.ts'
import { registerErrorHandler, respondToUnroutable } from './http/problem.ts'
import { createRequestLog, RequestLogController } from './http/request-log.ts'
import { securityHeaders } from './http/security-headers.ts'
import { validatorCompiler } from './http/validation.ts'
import { createApiKeys } from './identity/api-keys.ts'
import { authorize } from './identity/authorize.ts'
import { createRequestOwner } from './identity/request-owner.ts'
import { createSessionCookie, sessionCookieName } from './identity/session-cookie.ts'
import { createSessionRecords } from './identity/session-records.ts'
import { sessionRoutes } from './identity/session-routes.ts'
import { refuseWhenOverloaded } from './limits/overload.ts'
import { limitRates } from './limits/rate-limits.ts'
import { timeOutSlowBodies } from './limits/slow-bodies.ts'
import { openapiRoutes } from './openapi/openapi-routes.ts'
import { createCdnSigner } from './signing/sign-cdn-url.ts'
import { createFormSigner } from './signing/sign-form.ts'
import { createUrlSigner } from './signing/sign-url.ts'
import { createReceiveChunk } from './tus/tus-chunk.ts'
import { createTusLocks } from './tus/tus-lock.ts'
import { createTusParts } from './tus/tus-parts.ts'
import { createTusHandler } from './tus/tus-protocol.ts'
import { tusRoutes } from './tus/tus-routes.ts'
import { createTusUploads } from './tus/tus-uploads.ts'
import { createAnnounceUpload } from './uploads/announce-upload.ts'
import { createIntentCheck } from './uploads/check-intent.ts'
import { createCompleteUpload } from './uploads/complete-upload.ts'
import { eraseRoutes } from './uploads/erase-routes.ts'
import { createFindOwnUpload } from './uploads/find-own-upload.ts'
import { createRespondOnce, createWithIdempotencyKey } from './uploads/idempotency-key.ts'
import { createListUploads } from './uploads/list-uploads.ts'
import { createMultipartUploads } from './uploads/multipart-uploads.ts'
import { partRoutes } from './uploads/part-routes.ts'
import { createPublishErasure } from './uploads/publish-erasure.ts'
import { createStartImport } from './uploads/start-import.ts'
import { createStartUpload } from './uploads/start-upload.ts'
import { uploadRoutes } from './uploads/upload-routes.ts'
import { uppyRoutes } from './uppy/uppy-routes.ts'

/** A JSON body of ours is small; the largest route says so itself. */
const bodyLimitBytes = 64 * 1024

/**
 * Composes the API out of its parts. It owns none of the clients: who built them closes them, after the app.
 *
 * @param deps.redis for commands
 * @param deps.subscriber a Redis connection for changes alone
 * @param deps.publicS3 signs what clients send to S3 themselves; default: `s3`
 * @param deps.draining is aborted when the instance should be given no more work; it may go on for a while
 * @param deps.streamingS3 for bodies that pass through
 * @param deps.putFleetMetrics where the fleet's load goes besides Redis, if anywhere
 */
export async function createApp(deps: {
  config: Config
  log: Logger
  redis: Redis
  subscriber: Redis
  s3: S3Client
  publicS3?: S3Client
  streamingS3: S3Client
  draining?: AbortSignal
  sqs: SQSClient
  putFleetMetrics?: PutFleetMetrics | undefined
}) {
  const { config, log, redis, subscriber, s3, publicS3 = s3, streamingS3, sqs } = deps
  const { bucket, redisPrefix: prefix, sessionTtlMs: ttlMs, instance } = config
  const closing = new AbortController()
  const { draining = closing.signal } = deps

  const records = createUploadRecords({ redis, prefix })
  const originals = createOriginals({ s3, bucket })
  const lookup = createUploadLookup({ records, manifests: createManifests({ s3, bucket }), originals })
  // A connection of its own: BullMQ puts its scripts on it, which ioredis copies onto each pipeline that it makes.
  const queueRedis = redis.duplicate()
  queueRedis.on('error', (error) => log.warn({ err: error }, 'Redis connection'))
  const queue = createUploadQueue({ redis: queueRedis, prefix })
  const imports = createImportQueue({ redis: queueRedis, prefix })
  const eraseObjects = createEraseObjects({ s3, bucket })
  const receiveUpload = createReceiveUpload({ lookup, records, originals, queue, eraseObjects })
  const signer = createUrlSigner({ s3: publicS3, bucket })
  const cdn = config.cdn && createCdnSigner(config.cdn)
  const multipartUploads = createMultipartUploads({ s3, bucket, signer })
  const checkIntent = createIntentCheck({
    presets: config.presets,
    maxUploadBytes: config.maxUploadBytes,
  })
  const quota = createQuota({
    reservations: createQuotaReservations({ redis, prefix }),
    limits: config.quota,
    originals,
    s3,
    bucket,
  })
  const announceUpload = createAnnounceUpload({ records, checkIntent, quota, multipartUploads })
  const signForm = createFormSigner({ s3: publicS3, bucket })
  const startUpload = createStartUpload({ announceUpload, signForm, multipartUploads })
  const completeUpload = createCompleteUpload({ lookup, multipartUploads, receiveUpload })
  const eraseUpload = createEraseUpload({
    records,
    queue,
    imports,
    eraseObjects,
    quota,
    publishErasure: config.bucketReplicated ? createPublishErasure({ s3, bucket }) : undefined,
  })
  const startImport = createStartImport({
    records,
    checkIntent,
    quota,
    imports,
    allowedPorts: config.importAllowedPorts,
  })
  const directUpload = createDirectUpload({
    records,
    checkIntent,
    quota,
    storeOriginal: createStoreOriginal({ s3, streamingS3, bucket, log }),
    receiveUpload,
    maxUploadBytes: config.maxUploadBytes,
  })
  const tusParts = createTusParts({ s3, streamingS3, bucket })
  const tusUploads = createTusUploads({
    records,
    lookup,
    checkIntent,
    quota,
    multipartUploads,
    tusParts,
    receiveUpload,
    eraseUnfinished: createEraseUnfinished({ s3, bucket }),
  })
  const handleTusRequest = createTusHandler({
    tusUploads,
    receiveChunk: createReceiveChunk({ records, tusUploads, tusParts, eraseObjects }),
    locks: createTusLocks({ redis, subscriber, prefix, log }),
    eraseUpload,
    maxUploadBytes: config.maxUploadBytes,
  })
  const listUploads = createListUploads({ s3, bucket, records, lookup })
  const changes = createUploadChanges({ redis: subscriber, prefix })
  const secure = config.publicOrigin.startsWith('https:')
  const cookie = createSessionCookie({ keys: config.sessionKeys, ttlMs, secure })
  const sessions = createSessionRecords({ redis, prefix, ttlMs })
  const owner = createRequestOwner({ cookie, sessions })
  const findOwnUpload = createFindOwnUpload({ owner, lookup })
  const withIdempotencyKey = createWithIdempotencyKey({
    owner,
    respondOnce: createRespondOnce({ redis, prefix }),
  })

  const app = fastify({
    loggerInstance: createRequestLog(log),
    logController: new RequestLogController(),
    genReqId: () => randomUUID(),
    bodyLimit: bodyLimitBytes,
    ...httpLimits(config),
    routerOptions: { ignoreTrailingSlash: true, ...routerLimits },
    frameworkErrors: respondToUnroutable,
  }).withTypeProvider<TypeBoxTypeProvider>()
  app.setValidatorCompiler(validatorCompiler)
  app.removeContentTypeParser('text/plain')
  // Hooks of every request take a callback: an async function costs a promise and a turn of the microtasks.
  app.addHook('onRequest', (request, reply, done) => {
    reply.header('x-request-id', request.id)
    done()
  })
  app.addHook('preClose', async () => closing.abort(new AppError('draining')))
  // A connection that stayed open after its last answer would hold up an instance that is closing.
  app.addHook('onSend', (_request, reply, _payload, done) => {
    if (closing.signal.aborted) reply.header('connection', 'close')
    done()
  })
  const activity = createRecentActivity()
  trackRequests(app, activity)
  const fleetReporter = createFleetReporter({
    redis,
    prefix,
    sqs,
    queueUrl: config.eventsQueueUrl,
    queue,
    id: instance,
    tier: 'api',
    version: packageJson.version,
    slots: 0,
    activity,
    putFleetMetrics: deps.putFleetMetrics,
    publishPeriodMs: config.publishPeriodMs,
    log,
  })
  app.addHook('onListen', async () => fleetReporter.start())
  app.addHook('preClose', async () => fleetReporter.drain())
  app.addHook('onClose', async () => {
    await fleetReporter.stop()
    await queue.close()
    await imports.close()
    queueRedis.disconnect()
  })
  registerErrorHandler(app)
  securityHeaders(app, { secure })

  refuseOddRequests(app)
  closeUnusedConnections(app)
  refuseWhenOverloaded(app, {
    eventLoopDelayMs: config.maxEventLoopDelayMs,
    heapUsedBytes: config.maxHeapUsedBytes,
    rssBytes: config.maxRssBytes,
  })
  timeOutSlowBodies(app, { graceMs: config.slowBodyMs })
  await limitRates(app, {
    redis,
    prefix,
    timeoutMs: config.rateLimitPatienceMs,
    perOwner: config.rateLimitPerMinute,
    perAddress: config.rateLimitPerAddressPerMinute,
  })

  await openapiRoutes(app, { version: packageJson.version, cookieName: sessionCookieName(secure) })
  healthRoutes(app, {
    checkReadiness: createReadiness({ redis, s3, sqs, bucket, queueUrl: config.eventsQueueUrl }),
    instance,
    version: packageJson.version,
    draining: AbortSignal.any([draining, closing.signal]),
  })
  app.register(async (scope: Api) => {
    authorize(scope, {
      apiKeys: createApiKeys(config.apiKeys),
      publicOrigin: config.publicOrigin,
      openAdmin: config.openAdmin,
    })
    cookie.register(scope)
    sessionRoutes(scope, { cookie, sessions, instance })
    uploadRoutes(scope, {
      owner,
      findOwnUpload,
      withIdempotencyKey,
      startUpload,
      startImport,
      listUploads,
    })
    partRoutes(scope, { findOwnUpload, multipartUploads, completeUpload })
    directUploadRoutes(scope, { withIdempotencyKey, directUpload, silenceMs: config.uploadSilenceMs })
    tusRoutes(scope, { owner, handleTusRequest, silenceMs: config.uploadSilenceMs, closing: closing.signal })
    downloadRoutes(scope, { findOwnUpload, signDownload: createDownloadSigner({ signer, originals, cdn }) })
    eraseRoutes(scope, { owner, lookup, records, eraseUpload })
    scope.register(async (uppyScope: Api) =>
      uppyRoutes(uppyScope, {
        owner,
        findOwnUpload,
        announceUpload,
        signForm,
        multipartUploads,
        completeUpload,
        eraseUpload,
        publicOrigin: config.publicOrigin,
      }),
    )
    eventRoutes(scope, {
      owner,
      findOwnUpload,
      watchUpload: createWatchUpload({ lookup, changes }),
      watchOwner: createWatchOwner({ records, lookup, listUploads, changes }),
      closing: closing.signal,
    })
    clusterRoutes(scope, {
      viewCluster: createClusterView({
        heartbeats: createHeartbeats({ redis, prefix }),
        journal: createFleetJournal({ redis, prefix }),
      }),
      closing: closing.signal,
    })
    cpuBurnRoutes(scope, { burnCpu: createBurnCpu(closing.signal), instance })
  })
  const { consoleDirectory } = config
  if (consoleDirectory)
    consoleRoutes(app, {
      directory: consoleDirectory,
      bucketOrigin: await signer.origin(),
      cdnOrigin: cdn?.origin,
    })
  return app
}

export type App = Awaited<ReturnType<typeof createApp>>
