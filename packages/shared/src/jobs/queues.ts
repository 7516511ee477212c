import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { noTracing, type Tracing } from '../tracing/tracing.ts'
import { createImportQueue } from './import-upload-job.ts'
import { createUploadQueue } from './process-upload-job.ts'

/**
 * The queues of a process that adds jobs and runs none, on a Redis connection of their own: BullMQ puts its scripts on
 * the connection, and ioredis copies them onto each pipeline that it makes.
 *
 * @param deps.redis the connection to duplicate
 */
export function createQueues(deps: {
  redis: Redis
  prefix: string
  maxQueuedJobs: number
  log: Logger
  tracing?: Tracing
}) {
  const redis = deps.redis.duplicate()
  redis.on('error', (error) => deps.log.warn({ err: error }, 'Redis connection'))
  const { prefix, maxQueuedJobs, tracing = noTracing } = deps
  const queue = createUploadQueue({ redis, prefix, maxQueuedJobs, tracing })
  const imports = createImportQueue({ redis, prefix, tracing })

  return {
    queue,
    imports,
    /** Their connection, for queues of other rooms, which are closed before. */
    redis,
    async close(): Promise<void> {
      await queue.close()
      await imports.close()
      redis.disconnect()
    },
  }
}
