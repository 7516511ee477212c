import { connectBlockingRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createApp } from '@millrace/worker/app.ts'
import { readConfig } from '@millrace/worker/config.ts'
import type { ApiInstances } from './api-instances.ts'

/** Starts a worker in this process, with the environment and the Redis, S3 and SQS of API instances. */
export async function startWorkerBeside(
  api: Pick<ApiInstances, 'environment' | 'redis' | 's3' | 'streamingS3' | 'sqs'>,
) {
  const { environment, redis, s3, streamingS3, sqs } = api
  const config = readConfig({ ...environment, INSTANCE: 'worker' })
  const log = createLog({ level: 'silent', instance: config.instance })
  const blockingRedis = connectBlockingRedis(config.redisUrl, log)
  const worker = createApp(config, log, { redis, blockingRedis, s3, streamingS3, sqs })
  await worker.start()
  return {
    async close(): Promise<void> {
      await worker.close()
      blockingRedis.disconnect()
    },
  }
}
