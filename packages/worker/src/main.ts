import { checkBucketVersioning } from '@millrace/shared/connections/check-bucket-versioning.ts'
import { checkEvictionPolicy } from '@millrace/shared/connections/check-eviction-policy.ts'
import {
  connectBlockingRedis,
  connectRedis,
  connectS3,
  connectSqs,
  connectStreamingS3,
} from '@millrace/shared/connections/connections.ts'
import { connectMetrics } from '@millrace/shared/fleet/connect-metrics.ts'
import { createMetrics } from '@millrace/shared/metrics/metrics.ts'
import { startMetricsServer } from '@millrace/shared/metrics/metrics-server.ts'
import { observeClients } from '@millrace/shared/metrics/observe-clients.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { readConfigOrExit } from '@millrace/shared/service/read-config-or-exit.ts'
import { reportReady } from '@millrace/shared/service/report-ready.ts'
import { runService, type Service } from '@millrace/shared/service/run-service.ts'
import { loadTracing, tracingDeadlineMs } from '@millrace/shared/tracing/load-tracing.ts'
import { traceS3 } from '@millrace/shared/tracing/trace-s3.ts'
import packageJson from '../package.json' with { type: 'json' }
import { createApp } from './app.ts'
import { readConfig } from './config.ts'
import { setHeapFlags } from './decoders/heap-flags.ts'
import { startHealthServer } from './instance/health-server.ts'
import { createInstance, drainMarginMs } from './instance/instance.ts'

/** Closing connections does not wait for the network. In ms. */
const connectionsDeadlineMs = 1_000

setHeapFlags()
const config = readConfigOrExit(readConfig, process.env)
const { logLevel: level, instance } = config
const tracing = await loadTracing(config.tracing, {
  service: 'millrace-worker',
  version: packageJson.version,
  instance,
})
const log = createLog({ level, instance, ...(tracing.isOn && { traceId: tracing.traceId }) })
tracing.reportTo(log)
await runService({ log, start })

async function start({ stopping, stop, addPhase }: Service): Promise<void> {
  addPhase({ name: 'tracing', deadlineMs: tracingDeadlineMs, close: tracing.close })
  const redis = connectRedis(config.redisUrl, log)
  const blockingRedis = connectBlockingRedis(config.redisUrl, log)
  const s3 = connectS3()
  const streamingS3 = connectStreamingS3()
  for (const client of [s3, streamingS3]) traceS3(client, tracing)
  const sqs = connectSqs()
  const fleetMetrics = await connectMetrics(config.metricsStage)
  const { instance: name } = config
  const metrics = createMetrics({ service: 'worker', instance: name, version: packageJson.version })
  metrics.watchProcess()
  observeClients({ redis: [redis, blockingRedis], s3: [s3, streamingS3], sqs }, metrics.callsOf)
  addPhase({
    name: 'connections',
    deadlineMs: connectionsDeadlineMs,
    close() {
      fleetMetrics.close()
      sqs.destroy()
      streamingS3.destroy()
      s3.destroy()
      blockingRedis.disconnect()
      redis.disconnect()
    },
  })
  let isStarted = false
  const { healthPort } = config
  if (healthPort !== undefined) {
    const port = await startHealthServer({
      port: healthPort,
      instance: config.instance,
      version: packageJson.version,
      metrics,
      isStarted: () => isStarted,
    })
    log.info({ event: 'health', port }, 'GET /live and /health are available on loopback')
  }
  await Promise.all([
    checkEvictionPolicy({ redis, log }),
    checkBucketVersioning({ s3, bucket: config.bucket, log }),
  ])
  const app = createApp(config, log, {
    redis,
    blockingRedis,
    s3,
    streamingS3,
    sqs,
    metrics,
    putFleetMetrics: fleetMetrics.putFleetMetrics,
    tracing,
  })
  const instance = createInstance({ config, log, oldestJob: app.oldestJob, drainWorker: app.close })
  addPhase({
    name: 'jobs',
    deadlineMs: config.drainDeadlineMs + drainMarginMs,
    close: ({ afterFailure }) => (afterFailure ? app.close({ deadlineMs: 0 }) : instance.drain()),
  })

  log.info(
    { event: 'ffmpeg', program: config.ffmpeg },
    config.ffmpeg ? 'videos get posters' : 'videos get no posters: ffmpeg was not found, or is off',
  )
  await Promise.all([startMetricsServer({ config, metrics, log }), app.prepareDecoder()])
  await app.start()
  isStarted = true
  log.info({ event: 'started' }, 'started')
  reportReady()
  instance.watch({ stopping, stop })
}
