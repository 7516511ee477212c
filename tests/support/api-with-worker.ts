import { connectBlockingRedis } from '@millrace/shared/service/connections.ts'
import type { Environment } from '@millrace/shared/service/environment.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createApp } from '@millrace/worker/app.ts'
import { readConfig } from '@millrace/worker/config.ts'
import { startApiInstances } from './api-instances.ts'

/**
 * Starts an API instance and a worker with one decoder in this process, with their own local cloud: for tests of what uses the system. Three
 * processes of `npm start` cost three times the CPU time.
 *
 * @param environment replaces variables of both
 */
export async function startApiWithWorker(environment: Environment) {
  const api = await startApiInstances({ environment: { WORKER_SLOTS: '1', ...environment } })
  const config = readConfig({ ...api.environment, INSTANCE: 'worker' })
  const log = createLog({ level: 'silent', instance: 'worker' })
  const blockingRedis = connectBlockingRedis(config.redisUrl, log)
  const { redis, s3, streamingS3, sqs } = api
  const worker = createApp(config, log, { redis, blockingRedis, s3, streamingS3, sqs })
  await worker.start()
  return {
    url: api.url,
    async close() {
      await worker.close()
      blockingRedis.disconnect()
      await api.close()
    },
  }
}

export type ApiWithWorker = Awaited<ReturnType<typeof startApiWithWorker>>
