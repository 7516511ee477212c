import {
  connectBlockingRedis,
  connectRedis,
  connectS3,
  connectSqs,
  connectStreamingS3,
} from '@millrace/shared/connections.ts'
import { createLog } from '@millrace/shared/log.ts'
import { createApp } from './app.ts'
import { readConfig } from './config.ts'

const config = readConfig(process.env)
// libuv reads it when its pool starts, with the first image: one thread a slot, and the usual four for the rest.
process.env['UV_THREADPOOL_SIZE'] ??= String(config.slots + 4)
const log = createLog({ level: config.logLevel, instance: config.instance })
const redis = connectRedis(config.redisUrl, log)
const blockingRedis = connectBlockingRedis(config.redisUrl, log)
const s3 = connectS3()
const streamingS3 = connectStreamingS3()
const sqs = connectSqs()
const app = createApp(config, log, { redis, blockingRedis, s3, streamingS3, sqs })

let closing = false
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (closing) return
    closing = true
    void close(signal)
  })
}

await app.start()
log.info({ event: 'started' }, 'started')

async function close(signal: string): Promise<void> {
  log.info({ event: 'closing', signal }, 'closing')
  await app.close()
  sqs.destroy()
  streamingS3.destroy()
  s3.destroy()
  blockingRedis.disconnect()
  redis.disconnect()
  log.info({ event: 'closed' }, 'closed')
  // Not left to the event loop: a start that still waits for Redis, or an encoder, would keep it turning.
  process.exit(0)
}
