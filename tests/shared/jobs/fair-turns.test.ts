import { randomUUID } from 'node:crypto'
import { connectBlockingRedis, connectRedis } from '@millrace/shared/connections/connections.ts'
import {
  createUploadQueue,
  processUploadJobId,
  type UploadQueue,
  uploadQueueName,
} from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { UnrecoverableError, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('fair turns')
const silent = createLog({ level: 'silent', instance: 'test' })
let redis: Redis
let blockingRedis: Redis
let prefix: string
let queue: UploadQueue
const workers: Worker[] = []

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', silent)
  blockingRedis = connectBlockingRedis(process.env['REDIS_URL'] ?? '', silent)
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
  queue = createUploadQueue({ redis, prefix })
})
test.after.each(async () => {
  await closeWorkers()
  await queue.close()
})
test.after(() => {
  redis.disconnect()
  blockingRedis.disconnect()
})

const closeWorkers = async () => {
  for (const worker of workers.splice(0)) await worker.close()
}

const newJob = (owner: string) => ({ owner, id: newUploadId(), etag: 'e' })

/** Adds jobs in their order, one for each letter, which is its owner. */
async function add(owners: string, options: { isBackfill?: boolean } = {}): Promise<void> {
  for (const owner of owners) await queue.add(newJob(owner), options)
}

/**
 * Runs a real worker with one slot.
 *
 * @param isEnd gets the owners of all jobs that started so far
 * @param onStart is awaited by each job before it ends
 * @returns resolves with the owners in the order in which their jobs started
 */
function start(
  isEnd: (owners: string[]) => boolean,
  onStart: (owners: string[]) => unknown = () => undefined,
): Promise<string[]> {
  const ended = Promise.withResolvers<string[]>()
  const owners: string[] = []
  const worker = new Worker(
    uploadQueueName,
    async ({ data }) => {
      owners.push(data.owner)
      await onStart(owners)
      if (isEnd(owners)) ended.resolve(owners)
    },
    { connection: blockingRedis, prefix },
  )
  worker.on('error', ended.reject)
  worker.on('failed', (_job, error) => ended.reject(error))
  workers.push(worker)
  return ended.promise
}

/** Returns the order in which the jobs of owners with a name of one letter start. */
async function startOrder(count: number, onStart?: (owners: string) => unknown): Promise<string> {
  const owners = await start(
    ({ length }) => length === count,
    (started) => onStart?.(started.join('')),
  )
  return owners.join('')
}

const sorted = (owners: string) => [...owners].sort().join('')

test('an owner without waiting jobs starts next, in front of the backlog of another owner', async () => {
  await add('aaaaaa')
  await add('b')
  assert.is(sorted((await startOrder(7)).slice(0, 2)), 'ab')
})

test('an owner without waiting jobs waits for running jobs only', async () => {
  await add('aaaaaaaa')
  const order = await startOrder(10, async (started) => {
    if (started === 'aaa' || started === 'aaabaa') await add('b')
  })
  assert.is(order, 'aaabaabaaa')
})

test('two owners with backlogs take turns, whoever came first', async () => {
  await add('aaaaaaaa')
  const order = await startOrder(12, async (started) => {
    if (started === 'aaaa') await add('bbbb')
  })
  assert.is(order.slice(0, 5), 'aaaab')
  for (const at of [4, 6, 8, 10]) assert.is(sorted(order.slice(at, at + 2)), 'ab', order)
})

test('three owners with backlogs share evenly', async () => {
  await add('aaaabbbbcccc')
  const order = await startOrder(12)
  for (const at of [0, 3, 6, 9]) assert.is(sorted(order.slice(at, at + 3)), 'abc', order)
})

test("an owner's jobs start in the order in which they were added", async () => {
  const jobs = ['a', 'a', 'b', 'a'].map(newJob)
  for (const job of jobs) await queue.add(job)
  const waiting = await redis.zrange(`${prefix}:uploads:prioritized`, '0', '-1')
  const ofA = jobs.filter(({ owner }) => owner === 'a').map((job) => processUploadJobId(job))
  assert.equal(
    waiting.filter((id) => ofA.includes(id)),
    ofA,
  )
})

test('an owner that used idle workers alone has no disadvantage afterwards', async () => {
  await add('aaaaaaaa')
  await startOrder(8)
  await closeWorkers()
  await add('bbbaaa')
  const order = await startOrder(6)
  // The other owner has the first turn, since this one had the last.
  for (const at of [1, 3]) assert.is(sorted(order.slice(at, at + 2)), 'ab', order)
})

test('new owners that keep coming do not starve an owner with a backlog', async () => {
  await add('aaaa')
  let newcomers = 0
  const order = await start(
    (owners) => owners.filter((owner) => owner === 'a').length === 4,
    // Two new owners for each job that starts.
    async () => {
      for (let i = 0; i < 2; i++) await queue.add(newJob(`newcomer-${newcomers++}`))
    },
  )
  assert.ok(order.length <= 4 * 65, `the backlog of four jobs ended after ${order.length} jobs`)
})

test('a job that is added again takes no further turn of its owner', async () => {
  const job = newJob('a')
  for (let i = 0; i < 10; i++) await queue.add(job)
  await add('abbb')
  assert.is(sorted((await startOrder(5)).slice(0, 4)), 'aabb')
})

test('removed jobs take no turns of their owner', async () => {
  const jobs = Array.from({ length: 10 }, () => newJob('a'))
  for (const job of jobs) await queue.add(job)
  for (const job of jobs.slice(1)) await queue.remove(job)
  await add('bbba')
  assert.is(sorted((await startOrder(5)).slice(0, 4)), 'aabb')
})

test('backfill starts after all other jobs, and its owners share evenly too', async () => {
  await add('aaab', { isBackfill: true })
  await add('ccd')
  const order = await startOrder(8, async (started) => {
    if (started.length === 3) await add('e')
  })
  assert.is(sorted(order.slice(0, 3)), 'ccd')
  assert.is(order[3], 'e')
  assert.is(sorted(order.slice(4, 6)), 'ab')
  assert.is(order.slice(6), 'aa')
})

test('backfill does not take the room of new uploads', async () => {
  const small = createUploadQueue({ redis, prefix, maxQueuedJobs: 2 })
  await add('aaa', { isBackfill: true })
  assert.is(await small.room(), 2)
  await add('b')
  assert.is(await small.room(), 1)
  await small.close()
})

test('a job that is restarted after it failed gets a new turn', async () => {
  const job = newJob('a')
  await queue.add(job)
  const failed = Promise.withResolvers<void>()
  const worker = new Worker(
    uploadQueueName,
    () => {
      throw new UnrecoverableError('x')
    },
    { connection: blockingRedis, prefix },
  )
  workers.push(worker)
  worker.on('failed', () => failed.resolve())
  await failed.promise
  await closeWorkers()
  await add('aab')
  await queue.revive(job)
  assert.is(sorted((await startOrder(4)).slice(0, 2)), 'ab')
})

test('a job that is retried keeps its turn', async () => {
  await add('aaa')
  const order: string[] = []
  const done = Promise.withResolvers<void>()
  const worker = new Worker(
    uploadQueueName,
    async ({ id = '', attemptsMade }) => {
      order.push(id)
      if (order.length === 4) done.resolve()
      if (attemptsMade === 0 && order.length === 1) throw new Error('x')
    },
    { connection: blockingRedis, prefix, settings: { backoffStrategy: () => 0 } },
  )
  workers.push(worker)
  await done.promise
  assert.is(new Set(order).size, 3)
  assert.is(order.filter((id) => id === order[0]).length, 2)
})

test('a job that an idle worker starts at once has a turn, which its retries keep', async () => {
  const job = newJob('a')
  const jobKey = `${prefix}:uploads:${processUploadJobId(job)}`
  const held = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  const order = startOrder(3, (owners) => {
    started.resolve()
    return owners === 'a' && held.promise
  })
  await queue.add(job)
  await started.promise
  assert.is(await redis.hget(jobKey, 'priority'), '1')
  await add('ab')
  held.resolve()
  assert.is(await order, 'aba')
})

test('turns are counted from the start again before the priorities of BullMQ end', async () => {
  await add('aaa')
  // As if half a million turns had passed.
  const turns = `${prefix}:uploads:turns:upload`
  const waiting = `${prefix}:uploads:prioritized`
  const passed = 2 ** 19 - 3
  for (const [i, id] of (await redis.zrange(waiting, '0', '-1')).entries()) {
    await redis.zadd(waiting, (passed + i) * 2 ** 32 + i, id)
    await redis.hset(`${prefix}:uploads:${id}`, 'priority', passed + i)
  }
  await redis.zadd(turns, passed + 2, 'a')
  await redis.hset(`${turns}:clock`, 'now', passed)
  await add('aaa')
  const scores = (await redis.zrange(waiting, '0', '-1', 'WITHSCORES')).filter((_, i) => i % 2 === 1)
  assert.equal(
    scores.map((score) => Math.floor(Number(score) / 2 ** 32)),
    [1, 2, 3, 4, 5, 6],
  )
  for (const id of await redis.zrange(waiting, '0', '-1')) {
    assert.ok(Number(await redis.hget(`${prefix}:uploads:${id}`, 'priority')) <= 6)
  }
  await add('bb')
  const order = await startOrder(8)
  for (const at of [0, 2]) assert.is(sorted(order.slice(at, at + 2)), 'ab', order)
})

test('without its turns, which Redis may lose, the queue continues from the waiting jobs', async () => {
  await add('aaaaaa')
  await redis.del(`${prefix}:uploads:turns:upload`, `${prefix}:uploads:turns:upload:clock`)
  await add('bb')
  assert.is(sorted((await startOrder(8)).slice(0, 4)), 'aabb')
})

test('the turns of owners that wait for nothing do not stay in Redis', async () => {
  for (let i = 0; i < 300; i++) await queue.add(newJob(`owner-${i}`))
  await start(({ length }) => length === 300)
  await add('a')
  assert.ok((await redis.zcard(`${prefix}:uploads:turns:upload`)) <= 65)
  assert.ok((await redis.pttl(`${prefix}:uploads:turns:upload`)) > 0)
})

test('a job whose process ended before it had a turn starts last, and gets its turn when it is added again', async () => {
  const job = newJob('b')
  await add('aa')
  await redis.zadd(`${prefix}:uploads:prioritized`, (2 ** 21 - 1) * 2 ** 32, processUploadJobId(job))
  await redis.hset(`${prefix}:uploads:${processUploadJobId(job)}`, {
    data: JSON.stringify(job),
    priority: 2 ** 21 - 1,
  })
  assert.is((await redis.zrange(`${prefix}:uploads:prioritized`, '-1', '-1'))[0], processUploadJobId(job))
  await queue.add(job)
  assert.is(sorted((await startOrder(3)).slice(0, 2)), 'ab')
})

test('the oldest job is found although jobs of another owner start first', async () => {
  await add('aaa')
  const [first = ''] = await redis.zrange(`${prefix}:uploads:prioritized`, '0', '0')
  await redis.hset(`${prefix}:uploads:${first}`, 'timestamp', 1_000)
  await add('bb')
  assert.is((await queue.counts()).oldestAddedAt, 1_000)
})

test('backfill is not the oldest job, however long it waits', async () => {
  await add('a', { isBackfill: true })
  assert.is((await queue.counts()).oldestAddedAt, undefined)
  assert.is((await queue.counts()).prioritized, 1)
})

test.run()
