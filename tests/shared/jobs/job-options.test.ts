import { randomUUID } from 'node:crypto'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import { defaultLeaseMs, maxReceives } from '@millrace/shared/jobs/events-queue.ts'
import { createImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import {
  createUploadQueue,
  defaultMaxQueuedJobs,
  highestMaxQueuedJobs,
  processUploadJobId,
} from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import fc from 'fast-check'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('options of jobs')
let redis: Redis
const prefix = `test-${randomUUID()}`
let uploads: ReturnType<typeof createUploadQueue>
let imports: ReturnType<typeof createImportQueue>

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
  uploads = createUploadQueue({ redis, prefix })
  imports = createImportQueue({ redis, prefix })
})
test.after(async () => {
  await uploads.close()
  await imports.close()
  redis.disconnect()
})

const newJob = (owner = 's-tester') => ({ owner, id: newUploadId(), etag: 'e' })

/** The options that BullMQ applies to a job, without its turn. */
async function optionsOf(queue: string, jobId: string): Promise<unknown> {
  const { priority: _, ...options } = JSON.parse(
    (await redis.hget(`${prefix}:${queue}:${jobId}`, 'opts')) ?? '{}',
  )
  return options
}

/** Moves a waiting job to where BullMQ has failed jobs, after all its attempts. */
async function fail(job: { id: string; etag: string }): Promise<string> {
  const jobId = processUploadJobId(job)
  await redis.zrem(`${prefix}:uploads:prioritized`, jobId)
  await redis.hset(`${prefix}:uploads:${jobId}`, { atm: 5, ats: 5, failedReason: 'x', finishedOn: 1 })
  await redis.zadd(`${prefix}:uploads:failed`, 1, jobId)
  return jobId
}

test('a file has five attempts, 1, 2, 4 and 8 s apart, and leaves nothing in Redis but a week of failures', async () => {
  const job = newJob()
  await uploads.add(job)
  assert.equal(await optionsOf('uploads', processUploadJobId(job)), {
    attempts: 5,
    backoff: { type: 'exponential', delay: 1000, jitter: 0.5 },
    jobId: processUploadJobId(job),
    removeOnComplete: true,
    removeOnFail: { age: 604_800, count: 1000 },
    stackTraceLimit: 1,
  })
})

test('an import has five attempts, 5, 10, 20 and 40 s apart, and leaves nothing in Redis but a week of failures', async () => {
  const job = { owner: 's-tester', id: newUploadId() }
  await imports.add(job)
  assert.equal(await optionsOf('imports', job.id), {
    attempts: 5,
    backoff: { type: 'exponential', delay: 5000, jitter: 0.5 },
    jobId: job.id,
    removeOnComplete: true,
    removeOnFail: { age: 604_800, count: 1000 },
    stackTraceLimit: 1,
  })
})

test('a message of an event is hidden for a minute, and is a dead letter after an hour of failures', () => {
  assert.is(defaultLeaseMs, 60_000)
  assert.is(maxReceives * defaultLeaseMs, 60 * 60_000)
})

test('Redis takes ten thousand jobs, and never more than SQS lets be in flight', () => {
  assert.equal([defaultMaxQueuedJobs, highestMaxQueuedJobs], [10_000, 50_000])
})

test('the reason of a failure is kept for the 14 days that SQS keeps its message', async () => {
  const failures = createArrivalFailures({ redis, prefix })
  await failures.record('m-1', new TypeError('secret'))
  const seconds = await redis.ttl(`${prefix}:arrival-failure:m-1`)
  const fortnight = 14 * 24 * 60 * 60
  assert.ok(seconds <= fortnight && seconds > fortnight - 60, String(seconds))
  assert.is((await failures.find(['m-1']))[0]?.code, 'TypeError')
})

test('a job that failed does not count as pending, and one that waits does', async () => {
  const [waiting, failed, missing] = [newJob(), newJob(), newJob()]
  await uploads.add(waiting)
  await uploads.add(failed)
  await fail(failed)
  assert.equal(
    [await uploads.isPending(waiting), await uploads.isPending(failed), await uploads.isPending(missing)],
    [true, false, false],
  )
})

test('a job that is restarted has all its attempts again', async () => {
  const job = newJob()
  await uploads.add(job)
  const jobId = await fail(job)
  await uploads.revive(job)
  const [made, started] = await redis.hmget(`${prefix}:uploads:${jobId}`, 'atm', 'ats')
  assert.equal([Number(made ?? 0), Number(started ?? 0)], [0, 0])
  assert.equal(await uploads.states([job]), ['queued'])
})

test('a job of backfill that is restarted starts after fresh uploads, and takes no room from them', async () => {
  const job = newJob()
  await uploads.add(job)
  await fail(job)
  const [room, backfill] = [await uploads.room(), await uploads.backfillRoom()]
  await uploads.revive(job, { isBackfill: true })
  assert.equal([await uploads.room(), await uploads.backfillRoom()], [room, backfill - 1])
})

test('adding backfill leaves the room of fresh uploads as it is', async () => {
  const queue = createUploadQueue({ redis, prefix: `${prefix}-small`, maxQueuedJobs: 1, now: () => 0 })
  assert.is(await queue.hasRoom(), true)
  await queue.add(newJob(), { isBackfill: true })
  assert.is(await queue.hasRoom(), true)
  await queue.add(newJob())
  assert.is(await queue.hasRoom(), false)
  await queue.close()
})

test('jobs have the same id if and only if upload, bytes and run are the same', async () => {
  const ids = fc.constantFrom(...Array.from({ length: 3 }, newUploadId))
  const arbitrary = fc.record({
    id: ids,
    etag: fc.oneof(fc.constantFrom('a', 'b', 'a-1', '1'), fc.string({ minLength: 1 })),
    revision: fc.option(fc.nat(20), { nil: undefined }),
  })
  await checkProperty(
    fc.property(arbitrary, arbitrary, (one, other) => {
      const isSame = one.id === other.id && one.etag === other.etag && one.revision === other.revision
      assert.is(processUploadJobId(one, one) === processUploadJobId(other, other), isSame)
      // BullMQ takes neither.
      assert.not.match(processUploadJobId(one, one), /:|^\d+$/)
    }),
    { runs: 500 },
  )
})

test.run()
