import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { withDeadline } from '@millrace/shared/service/deadline.ts'
import { createLog } from '@millrace/shared/service/log.ts'

/** How long Redis may take to answer, in ms: it only makes a message more precise. */
const timeoutMs = 500

/**
 * Counts the jobs that workers run now.
 *
 * @param options.prefix of all keys
 * @returns undefined if Redis does not answer
 */
export async function countActiveJobs(options: {
  redisUrl: string
  prefix: string
}): Promise<number | undefined> {
  const redis = connectRedis(options.redisUrl, createLog({ level: 'silent', instance: 'active-jobs' }))
  try {
    return await withDeadline('Counting jobs', timeoutMs, async () => {
      // Imported when it is needed: these load BullMQ.
      const { uploadQueueName } = await import('@millrace/shared/jobs/process-upload-job.ts')
      const { importQueueName } = await import('@millrace/shared/jobs/import-upload-job.ts')
      const keys = [uploadQueueName, importQueueName].map((queue) => `${options.prefix}:${queue}:active`)
      const counts = await Promise.all(keys.map((key) => redis.llen(key)))
      return counts.reduce((sum, count) => sum + count, 0)
    })
  } catch {
    return undefined
  } finally {
    redis.disconnect()
  }
}
