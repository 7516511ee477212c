import { setTimeout as delay } from 'node:timers/promises'
import { connectMetrics } from '@millrace/shared/fleet/connect-metrics.ts'
import {
  connectBlockingRedis,
  connectRedis,
  connectS3,
  connectSqs,
  connectStreamingS3,
} from '@millrace/shared/service/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { readConfigOrExit } from '@millrace/shared/service/read-config-or-exit.ts'
import { createApp } from './app.ts'
import { readConfig } from './config.ts'
import { disablePretenuring } from './http/disable-pretenuring.ts'

/** How long requests under way may take to end once the instance shuts down, in ms. */
const closeDeadlineMs = 10_000

disablePretenuring()
const config = readConfigOrExit(readConfig, process.env)
const log = createLog({ level: config.logLevel, instance: config.instance })
const redis = connectRedis(config.redisUrl, log)
const subscriber = connectBlockingRedis(config.redisUrl, log)
const s3 = connectS3()
const publicS3 = config.s3PublicEndpoint === undefined ? s3 : connectS3(config.s3PublicEndpoint)
const streamingS3 = connectStreamingS3()
const sqs = connectSqs()
const { putFleetMetrics, close: closeMetrics } = await connectMetrics(config.metricsStage)
const stopping = new AbortController()
const app = await createApp({
  config,
  log,
  redis,
  subscriber,
  s3,
  publicS3,
  streamingS3,
  draining: stopping.signal,
  sqs,
  putFleetMetrics,
})

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping.signal.aborted) return
    stopping.abort()
    void close(signal)
  })
}

await app.listen({ host: config.host, port: config.port })
const address = app.server.address()
log.info({ event: 'listening', port: typeof address === 'object' ? address?.port : config.port }, 'listening')

async function close(signal: string): Promise<void> {
  log.info({ event: 'closing', signal }, 'closing')
  await delay(config.closeDelayMs)
  const deadline = setTimeout(() => app.server.closeAllConnections(), closeDeadlineMs)
  await app.close()
  clearTimeout(deadline)
  closeMetrics()
  sqs.destroy()
  streamingS3.destroy()
  publicS3.destroy()
  s3.destroy()
  subscriber.disconnect()
  redis.disconnect()
  log.info({ event: 'closed' }, 'closed')
}
