import { randomUUID } from 'node:crypto'
import { countActiveJobs } from '@millrace/local/fleet/active-jobs.ts'
import { connectBlockingRedis, connectRedis } from '@millrace/shared/connections/connections.ts'
import { uploadQueueName } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { Queue, Worker } from 'bullmq'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('active jobs')
const redisUrl = process.env['REDIS_URL'] ?? ''
const prefix = `test-${randomUUID()}`

test('jobs that a worker runs are counted', async () => {
  const redis = connectRedis(redisUrl, createLog({ level: 'silent', instance: 'test' }))
  assert.is(await countActiveJobs({ redisUrl, prefix }), 0)
  const connection = connectBlockingRedis(redisUrl, createLog({ level: 'silent', instance: 'test' }))
  const begun = Promise.withResolvers<void>()
  const release = Promise.withResolvers<void>()
  const worker = new Worker(
    uploadQueueName,
    async () => {
      begun.resolve()
      await release.promise
    },
    { connection, prefix },
  )
  const queue = new Queue(uploadQueueName, { connection: redis, prefix })
  await queue.add('process-upload', {})
  await begun.promise
  assert.is(await countActiveJobs({ redisUrl, prefix }), 1)
  release.resolve()
  await worker.close()
  await queue.close()
  connection.disconnect()
  redis.disconnect()
})

test('without Redis, the number is not known', async () => {
  assert.is(await countActiveJobs({ redisUrl: 'redis://127.0.0.1:1', prefix }), undefined)
})

test.run()
