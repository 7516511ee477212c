import { randomUUID } from 'node:crypto'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createUploadQueue, processUploadJobId } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { watchForCommand } from '../../support/watch-for-command.ts'

const test = suite('upload queue')
let redis: Redis
let prefix: string
let nowMs: number
const queues: { close(): Promise<void> }[] = []

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
  nowMs = 0
})
test.after.each(async () => {
  for (const queue of queues.splice(0)) await queue.close()
})
test.after(() => redis.disconnect())

function openQueue(maxQueuedJobs: number) {
  const queue = createUploadQueue({ redis, prefix, maxQueuedJobs, now: () => nowMs })
  queues.push(queue)
  return queue
}

const newJob = () => ({ owner: 's-tester', id: newUploadId(), etag: 'e' })

/** Moves a waiting job to where BullMQ has failed jobs. */
async function fail(job: { id: string; etag: string }): Promise<void> {
  const jobId = processUploadJobId(job)
  await redis.zrem(`${prefix}:uploads:prioritized`, jobId)
  await redis.hset(`${prefix}:uploads:${jobId}`, 'atm', 5, 'failedReason', 'x', 'finishedOn', 1)
  await redis.zadd(`${prefix}:uploads:failed`, 1, jobId)
}

test('a queue has room below its limit, also for jobs of other processes after a second', async () => {
  const queue = openQueue(3)
  const other = openQueue(3)
  assert.is(await queue.hasRoom(), true)
  for (let i = 0; i < 3; i++) await other.add(newJob())
  assert.is(await queue.hasRoom(), true, 'the number is cached')
  assert.is(await other.hasRoom(), false)
  nowMs = 1_000
  assert.is(await queue.hasRoom(), false)
  assert.is(await queue.room(), 0)
  await queue.add(newJob())
  assert.is(await queue.room(), -1, 'a job is added above the limit nevertheless')
})

test('jobs that a process adds itself count at once', async () => {
  const queue = openQueue(2)
  assert.is(await queue.hasRoom(), true)
  await queue.add(newJob())
  assert.is(await queue.hasRoom(), true)
  await queue.add(newJob())
  assert.is(await queue.hasRoom(), false)
})

test('an owner fills four fifths of the room, and the rest is left for others', async () => {
  const queue = openQueue(10)
  const add = async (owner: string) => queue.add({ ...newJob(), owner })
  for (let i = 0; i < 8; i++) {
    assert.is(await queue.hasRoom('s-many'), true, `job ${i}`)
    await add('s-many')
  }
  assert.is(await queue.hasRoom('s-many'), false)
  assert.is(await queue.hasRoom('s-other'), true)
  await add('s-other')
  assert.is(await queue.hasRoom('s-other'), true)
  await add('s-other')
  assert.is(await queue.hasRoom('s-third'), false, 'the queue is full')
})

test('uploads that arrive together cause one count of jobs', async () => {
  const queue = openQueue(2)
  let counts = 0
  const end = `${prefix}:end`
  const watch = await watchForCommand(process.env['REDIS_URL'] ?? '', (words) => {
    if (words.includes(`${prefix}:uploads:`)) counts += 1
    return words.includes(end)
  })
  await Promise.all(Array.from({ length: 50 }, () => queue.hasRoom()))
  for (let i = 0; i < 50; i++) await queue.hasRoom()
  await redis.get(end)
  await watch.seen
  assert.is(counts, 1)
})

test('job states are queued, failed or missing, in the order of the jobs', async () => {
  const queue = openQueue(10)
  const [waiting, failed, missing] = [newJob(), newJob(), newJob()]
  await queue.add(waiting)
  await queue.add(failed)
  await fail(failed)
  assert.equal(await queue.states([missing, waiting, failed]), ['missing', 'queued', 'failed'])
  assert.equal(await queue.states([]), [])
})

test('a job whose adding stopped before its turn is missing, and gets its turn when it is ensured', async () => {
  const queue = openQueue(10)
  const job = newJob()
  await queue.add(job)
  const jobKey = `${prefix}:uploads:${processUploadJobId(job)}`
  const turn = await redis.hget(jobKey, 'priority')
  await redis.hset(jobKey, 'priority', 2 ** 21 - 1)
  await redis.zadd(`${prefix}:uploads:prioritized`, (2 ** 21 - 1) * 2 ** 32, processUploadJobId(job))
  assert.equal(await queue.states([job]), ['missing'])
  await queue.ensure(job)
  assert.equal(await queue.states([job]), ['queued'])
  assert.is(Number(await redis.hget(jobKey, 'priority')), Number(turn) + 1)
  assert.is((await queue.counts()).prioritized, 1)
})

test('ensure adds a missing job, restarts a failed one, and leaves a waiting one as it is', async () => {
  const queue = openQueue(10)
  const job = newJob()
  await queue.ensure(job)
  await queue.ensure(job)
  assert.is((await queue.counts()).prioritized, 1)
  await fail(job)
  await queue.ensure(job)
  assert.equal(await queue.states([job]), ['queued'])
  assert.is((await queue.counts()).prioritized, 1)
})

test.run()
