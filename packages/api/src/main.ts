import { setTimeout as delay } from 'node:timers/promises'
import { checkBucketVersioning } from '@millrace/shared/connections/check-bucket-versioning.ts'
import { checkEvictionPolicy } from '@millrace/shared/connections/check-eviction-policy.ts'
import {
  connectRedis,
  connectS3,
  connectSqs,
  connectStreamingS3,
  connectSubscriberRedis,
  reconnectTogether,
} from '@millrace/shared/connections/connections.ts'
import { connectMetrics } from '@millrace/shared/fleet/connect-metrics.ts'
import { createMetrics } from '@millrace/shared/metrics/metrics.ts'
import { startMetricsServer } from '@millrace/shared/metrics/metrics-server.ts'
import { observeClients } from '@millrace/shared/metrics/observe-clients.ts'
import { requestsDeadlineMs } from '@millrace/shared/service/close-deadlines.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { readConfigOrExit } from '@millrace/shared/service/read-config-or-exit.ts'
import { reportReady } from '@millrace/shared/service/report-ready.ts'
import { runService, type Service } from '@millrace/shared/service/run-service.ts'
import { loadTracing, tracingDeadlineMs } from '@millrace/shared/tracing/load-tracing.ts'
import { traceS3 } from '@millrace/shared/tracing/trace-s3.ts'
import packageJson from '../package.json' with { type: 'json' }
import { createApp } from './app.ts'
import { readConfig } from './config.ts'
import { disablePretenuring } from './streams/disable-pretenuring.ts'

/** What remains to close after the requests: heartbeat (1 s) and queues. In ms. */
const afterRequestsMs = 3_000
/** Closing connections does not wait for the network. In ms. */
const connectionsDeadlineMs = 1_000

disablePretenuring()
const config = readConfigOrExit(readConfig, process.env)
const { logLevel: level, instance } = config
const tracing = await loadTracing(config.tracing, {
  service: 'millrace-api',
  version: packageJson.version,
  instance,
})
const log = createLog({ level, instance, ...(tracing.isOn && { traceId: tracing.traceId }) })
tracing.reportTo(log)
await runService({ log, start })

async function start({ stopping, addPhase }: Service): Promise<void> {
  addPhase({ name: 'tracing', deadlineMs: tracingDeadlineMs, close: tracing.close })
  const redis = connectRedis(config.redisUrl, log)
  const subscriberRedis = connectSubscriberRedis(config.redisUrl, log)
  reconnectTogether(subscriberRedis, redis)
  const s3 = connectS3()
  const publicS3 = config.s3PublicEndpoint === undefined ? s3 : connectS3(config.s3PublicEndpoint)
  const streamingS3 = connectStreamingS3()
  for (const client of [s3, streamingS3]) traceS3(client, tracing)
  const sqs = connectSqs()
  const fleetMetrics = await connectMetrics(config.metricsStage)
  const metrics = createMetrics({ service: 'api', instance: config.instance, version: packageJson.version })
  metrics.watchProcess()
  observeClients({ redis: [redis, subscriberRedis], s3: [s3, streamingS3], sqs }, metrics.callsOf)
  addPhase({
    name: 'connections',
    deadlineMs: connectionsDeadlineMs,
    close() {
      fleetMetrics.close()
      sqs.destroy()
      streamingS3.destroy()
      publicS3.destroy()
      s3.destroy()
      subscriberRedis.disconnect()
      redis.disconnect()
    },
  })
  await Promise.all([
    checkEvictionPolicy({ redis, log }),
    checkBucketVersioning({ s3, bucket: config.bucket, log }),
  ])
  const app = await createApp({
    config,
    log,
    redis,
    subscriberRedis,
    s3,
    publicS3,
    streamingS3,
    draining: stopping,
    sqs,
    metrics,
    putFleetMetrics: fleetMetrics.putFleetMetrics,
    tracing,
    traceRequests: tracing.isOn ? (await import('./requests/trace-requests.ts')).traceRequests : undefined,
  })
  addPhase({
    name: 'http',
    deadlineMs: requestsDeadlineMs + afterRequestsMs,
    async close({ deadlineMs }) {
      const cut = setTimeout(() => app.server.closeAllConnections(), deadlineMs - afterRequestsMs)
      await app.close()
      clearTimeout(cut)
    },
  })
  // `/ready` reports draining from now on, and the load balancer needs time to see it.
  addPhase({
    name: 'load-balancer',
    deadlineMs: config.closeDelayMs + 1_000,
    close: ({ afterFailure }) => (afterFailure ? undefined : delay(config.closeDelayMs)),
  })

  await startMetricsServer({ config, metrics, log })
  await app.listen({ host: config.host, port: config.port })
  const address = app.server.address()
  const port = typeof address === 'object' && address !== null ? address.port : config.port
  log.info({ event: 'listening', port }, 'listening')
  reportReady(port)
}
