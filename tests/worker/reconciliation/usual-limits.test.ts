import { CreateMultipartUploadCommand, ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import type { UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadKeys } from '@millrace/shared/uploads/upload-keys.ts'
import { createSweeper } from '@millrace/worker/reconciliation/reconciliation.ts'
import { sweepLease } from '@millrace/worker/reconciliation/sweep-schedule.ts'
import { newSweepState } from '@millrace/worker/reconciliation/sweep-state.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('usual limits of a sweep')
const log = createLog({ level: 'silent', instance: 'test' })
const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
let fleet: WorkerFleet
let lifecycle: ReturnType<typeof createTestLifecycle>

test.before.each(async () => {
  fleet = await startWorkerFleet()
  lifecycle = createTestLifecycle(fleet)
})
test.after.each(() => fleet.close())

/**
 * Sweeps as a worker does, with the usual limits but not at the usual pace.
 * @returns what it counted
 */
async function sweep(afterMs: number, queue: UploadQueue = fleet.queue): Promise<Record<string, number>> {
  const limits = { pagesPerSecond: 1e6, checksPerSecond: 1e6 }
  const sweeper = createSweeper({ ...fleet, queue, lifecycle, log, limits })
  const state = newSweepState(undefined, Date.now() + afterMs)
  const signal = new AbortController().signal
  const { findings } = await sweeper.sweep({ state, save: async () => {}, signal })
  return findings.counts()
}

test('an original is left to its message for an hour', async () => {
  await fleet.arrive(Buffer.from('1'))
  const soon = await sweep(59 * minuteMs)
  assert.equal([soon['young'], soon['original-without-manifest']], [1, undefined])
  const later = await sweep(61 * minuteMs)
  assert.equal([later['young'], later['original-without-manifest']], [undefined, 1])
})

test('a copy of another region without a manifest gets a job within the first hour and a half', async () => {
  fleet.s3.middlewareStack.add(
    (next, context) => async (args) => {
      const response = await next(args)
      if (context['commandName'] !== 'HeadObjectCommand') return response
      return { ...response, output: { ...response.output, ReplicationStatus: 'REPLICA' } }
    },
    { step: 'initialize', name: 'copies' },
  )
  await fleet.arrive(Buffer.from('1'))
  const before = await fleet.queue.backfillRoom()
  await sweep(61 * minuteMs)
  assert.is(before - (await fleet.queue.backfillRoom()), 1)
})

test('the jobs that a sweep adds and restarts start after fresh uploads', async () => {
  const [added, restarted] = [await fleet.arrive(Buffer.from('1')), await fleet.arrive(Buffer.from('2'))]
  const received = await lifecycle.receiveUpload(restarted)
  const job = { ...restarted, etag: received?.upload.arrival?.etag ?? '' }
  const { redis, prefix } = fleet
  const [jobId = ''] = await redis.zrange(`${prefix}:uploads:prioritized`, '0', '0')
  await redis.zrem(`${prefix}:uploads:prioritized`, jobId)
  await redis.hset(`${prefix}:uploads:${jobId}`, { atm: 5, failedReason: 'x', finishedOn: 1 })
  await redis.zadd(`${prefix}:uploads:failed`, 1, jobId)
  const [room, backfill] = [await fleet.queue.room(), await fleet.queue.backfillRoom()]
  await sweep(61 * minuteMs)
  assert.equal([room - (await fleet.queue.room()), backfill - (await fleet.queue.backfillRoom())], [0, 2])
  assert.equal(await fleet.queue.states([job]), ['queued'])
  assert.is((await fleet.records.find(added))?.upload.state, 'received')
})

test('a sweep adds no job while five thousand wait', async () => {
  await fleet.arrive(Buffer.from('1'))
  const waiting = (prioritized: number): UploadQueue => ({
    ...fleet.queue,
    counts: async () => ({
      waiting: 1,
      prioritized,
      active: 0,
      delayed: 0,
      failed: 0,
      oldestAddedAt: undefined,
    }),
  })
  const full = await sweep(61 * minuteMs, waiting(4_999))
  assert.equal([full['deferred'], full['original-without-manifest']], [1, undefined])
  const free = await sweep(61 * minuteMs, waiting(4_998))
  assert.equal([free['deferred'], free['original-without-manifest']], [undefined, 1])
})

test('parts of an upload stay for the week in which it may be sent, and for the hour in which it may be completed', async () => {
  const address: UploadAddress = { owner: 's-tester', id: newUploadId() }
  const { bucket, s3 } = fleet
  await s3.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: originalKey(address) }))
  const after = (ms: number) => uploadIdTimeMs(address.id) + 7 * dayMs + ms - Date.now()
  const open = async () =>
    (await s3.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads?.length
  assert.is((await sweep(after(59 * minuteMs)))['expired-parts'], undefined)
  assert.is(await open(), 1)
  assert.is((await sweep(after(61 * minuteMs)))['expired-parts'], 1)
  assert.is(await open(), undefined)
})

test('the index and the record of an upload that was just announced stay', async () => {
  const announced = await fleet.announce(Buffer.from('1'))
  const justListed = { owner: 's-tester', id: newUploadId() }
  const index = createUploadKeys(fleet.prefix).index('s-tester')
  await fleet.redis.zadd(index, 0, justListed.id)
  const received = await fleet.announce(Buffer.from('1'))
  await fleet.records.update(received, (current) => ({ ...current, state: 'received' }))
  const soon = await sweep(50 * minuteMs)
  assert.equal(soon, {})
  const ids = [announced.id, justListed.id, received.id].toSorted()
  assert.equal((await fleet.redis.zrange(index, '0', '-1')).toSorted(), ids)
  const later = await sweep(70 * minuteMs)
  assert.equal([later['id-without-upload'], later['record-without-object']], [1, 1])
  assert.equal(await fleet.redis.zrange(index, '0', '-1'), [announced.id])
})

test('a worker that dies blocks the sweep for a minute', async () => {
  const { redis, prefix } = fleet
  assert.is(await sweepLease({ redis, prefix }).hold(), true)
  const leftMs = await redis.pttl(`${prefix}:sweep`)
  assert.ok(leftMs <= 60_000 && leftMs > 30_000, String(leftMs))
  assert.is(await sweepLease({ redis, prefix }).hold(), false)
})

test.run()
