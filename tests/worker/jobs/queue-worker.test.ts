import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { connectBlockingRedis, connectRedis } from '@millrace/shared/connections/connections.ts'
import { isOutOfMemory } from '@millrace/shared/connections/outage.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createQueueWorker } from '@millrace/worker/jobs/queue-worker.ts'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('queue worker')
const log = createLog({ level: 'silent', instance: 'test' })
const url = process.env['REDIS_URL'] ?? ''
let redis: Redis
let blockingRedis: Redis
let prefix: string
let queue: Queue

test.before(() => {
  redis = connectRedis(url, log)
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
  blockingRedis = connectBlockingRedis(url, log)
  queue = new Queue('q', { connection: redis, prefix })
})
test.after.each(async () => {
  await queue.close()
  blockingRedis.disconnect()
})
test.after(() => redis.disconnect())

/** Jobs that run until they are released, one after the other. */
function holdJobs() {
  const held: (() => void)[] = []
  let most = 0
  let began = 0
  const waiting = new Set<() => void>()
  return {
    async processor() {
      began += 1
      const { promise, resolve } = Promise.withResolvers<void>()
      held.push(resolve)
      most = Math.max(most, held.length)
      for (const check of waiting) check()
      await promise
    },
    /** Waits until so many jobs have begun in all. */
    async until(count: number): Promise<void> {
      await new Promise<void>((resolve) => {
        const check = () => {
          if (began >= count) resolve()
        }
        waiting.add(check)
        check()
      })
    },
    release: () => held.shift()?.(),
    most: () => most,
  }
}

test('the job of a worker that dies is free after ten seconds, and is looked for every five', async () => {
  const jobs = holdJobs()
  const worker = createQueueWorker({
    queueName: 'q',
    redis: blockingRedis,
    prefix,
    slots: 1,
    processor: jobs.processor,
    log,
  })
  const job = await queue.add('process-upload', {})
  await worker.start()
  await jobs.until(1)
  const [lockMs, stalledMs] = [
    await redis.pttl(`${prefix}:q:${job.id}:lock`),
    await redis.pttl(`${prefix}:q:stalled-check`),
  ]
  // At least half of it: the lock is renewed then. A tenth would pass this on a very slow machine only.
  assert.ok(lockMs <= 10_000 && lockMs > 1_000, `lock ${lockMs} ms`)
  // Redis says -2 of a key that does not exist.
  assert.ok(stalledMs <= 5_000 && stalledMs > 500, `look for stalled jobs ${stalledMs} ms`)
  jobs.release()
  await worker.drain(10_000)
})

test('a job that stalls for the fiftieth time runs again and does not fail', async () => {
  const job = await queue.add('process-upload', {})
  const key = `${prefix}:q:${job.id}`
  await redis.hset(key, 'stc', 49)
  // As a worker that was lost leaves a job: active, without a lock, and seen so by the last check.
  await redis
    .multi()
    .lrem(`${prefix}:q:wait`, 1, String(job.id))
    .lpush(`${prefix}:q:active`, String(job.id))
    .sadd(`${prefix}:q:stalled`, String(job.id))
    .exec()
  const worker = createQueueWorker({
    queueName: 'q',
    redis: blockingRedis,
    prefix,
    slots: 1,
    processor: async () => undefined,
    log,
  })
  await worker.start()
  await until(async () => ['completed', 'failed'].includes(await job.getState()))
  assert.equal([await job.getState(), await redis.hget(key, 'stc')], ['completed', '50'])
  await worker.drain(10_000)
})

test('a worker takes eight more jobs for each slot while its jobs wait, and no more', async () => {
  const jobs = holdJobs()
  const worker = createQueueWorker({
    queueName: 'q',
    redis: blockingRedis,
    prefix,
    slots: 1,
    processor: jobs.processor,
    log,
  })
  const count = 24
  await queue.addBulk(Array.from({ length: count }, () => ({ name: 'process-upload', data: {} })))
  await worker.start()
  await jobs.until(1)
  worker.setWaiting(1_000)
  for (let i = 0; i < count; i++) {
    await jobs.until(Math.min(count, 9 + i))
    jobs.release()
  }
  await worker.drain(10_000)
  assert.is(jobs.most(), 9)
})

test('a worker asks a full Redis for jobs once a second, and goes on when there is memory', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-full-'))
  const server = await startRedisServer({ directory })
  const [commands, blocking] = [connectRedis(server.url, log), connectBlockingRedis(server.url, log)]
  const jobs = holdJobs()
  const errors = new EventEmitter()
  const refusedAtMs: number[] = []
  const warn = ({ err }: { err: unknown }) => {
    if (isOutOfMemory(err)) refusedAtMs.push(performance.now())
    errors.emit('error logged')
  }
  const worker = createQueueWorker({
    ...{ queueName: 'q', redis: blocking, prefix, slots: 1 },
    processor: jobs.processor,
    log: Object.assign(createLog({ level: 'silent', instance: 'test' }), { warn }),
  })
  const filled = new Queue('q', { connection: commands, prefix })
  try {
    await filled.add('process-upload', {})
    await commands.config('SET', 'maxmemory', '1')
    await worker.start()
    // Each time two commands are refused: one takes a job, one looks for stalled jobs.
    while (refusedAtMs.length < 5) await once(errors, 'error logged')
    const [first = 0, , , , fifth = 0] = refusedAtMs
    assert.ok(fifth - first >= 1_900, `${fifth - first} ms`)
    await commands.config('SET', 'maxmemory', '0')
    await jobs.until(1)
    jobs.release()
  } finally {
    await worker.drain(0)
    await filled.close()
    for (const connection of [commands, blocking]) connection.disconnect()
    await server.close()
    await rm(directory, { recursive: true })
  }
})

test.run()
