import { AutoScalingClient } from '@aws-sdk/client-auto-scaling'
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
import packageJson from '../package.json' with { type: 'json' }
import { createApp } from './app.ts'
import { readConfig } from './config.ts'
import { startHealthServer } from './instance/health-server.ts'
import { createInstanceMetadata } from './instance/instance-metadata.ts'
import { createInstanceNotices } from './instance/instance-notices.ts'
import { createLeaveInstance } from './instance/leave-instance.ts'
import { createScaleInProtection } from './instance/scale-in-protection.ts'
import { createTerminationHook } from './instance/termination-hook.ts'

const config = readConfigOrExit(readConfig, process.env)
// libuv reads it when its pool starts, with the first image: one thread a slot, and the usual four for the rest.
process.env['UV_THREADPOOL_SIZE'] ??= String(config.slots + 4)
const log = createLog({ level: config.logLevel, instance: config.instance })
const redis = connectRedis(config.redisUrl, log)
const blockingRedis = connectBlockingRedis(config.redisUrl, log)
const s3 = connectS3()
const streamingS3 = connectStreamingS3()
const sqs = connectSqs()
const metrics = await connectMetrics(config.metricsStage)
const app = createApp(config, log, {
  redis,
  blockingRedis,
  s3,
  streamingS3,
  sqs,
  putFleetMetrics: metrics.putFleetMetrics,
})

const stopping = new AbortController()
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping.signal.aborted) return
    stopping.abort()
    void close(signal, () => app.close())
  })
}

await app.start()
const { healthPort, terminationHook } = config
if (healthPort !== undefined) {
  const { instance } = config
  const port = await startHealthServer({ port: healthPort, instance, version: packageJson.version })
  log.info({ event: 'health', port }, 'answers /health')
}
log.info({ event: 'started' }, 'started')
if (terminationHook !== undefined) await endWithInstance(terminationHook)

/** Has the group spare the instance during long work, and leaves in time when it is about to end nevertheless. */
async function endWithInstance(hookName: string): Promise<void> {
  const metadata = createInstanceMetadata({ endpoint: config.metadataEndpoint })
  const notices = createInstanceNotices({ metadata, log, intervalMs: config.noticeIntervalMs })
  const autoScaling = new AutoScalingClient()
  const protection = createScaleInProtection({
    autoScaling,
    metadata,
    oldestJob: app.oldestJob,
    longWorkMs: config.longWorkMs,
    intervalMs: config.noticeIntervalMs,
    log,
  })
  void protection.watch(stopping.signal)
  const notice = await notices.first(stopping.signal)
  if (!notice || stopping.signal.aborted) return
  stopping.abort()
  const leaveInstance = createLeaveInstance({
    notices,
    hook: createTerminationHook({ autoScaling, metadata, name: hookName, log }),
    drain: (deadlineMs) => app.close({ deadlineMs, patient: true }),
    drainDeadlineMs: config.drainDeadlineMs,
  })
  await close(notice.kind, () => leaveInstance(notice))
}

async function close(why: string, drain: () => Promise<void>): Promise<void> {
  log.info({ event: 'closing', why }, 'closing')
  await drain()
  metrics.close()
  sqs.destroy()
  streamingS3.destroy()
  s3.destroy()
  blockingRedis.disconnect()
  redis.disconnect()
  log.info({ event: 'closed' }, 'closed')
  // Not left to the event loop: a start that still waits for Redis, or an encoder, would keep it turning.
  process.exit(0)
}
