import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { PurgeQueueCommand } from '@aws-sdk/client-sqs'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { processUploadJobId } from '@millrace/shared/jobs/process-upload-job.ts'
import { createEraseUnfinished } from '@millrace/shared/ledger/erase-objects.ts'
import { originalKey, unfinishedKey } from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import { createExpireUnfinished } from '@millrace/worker/arrivals/expire-unfinished.ts'
import { createReconcile } from '@millrace/worker/arrivals/reconcile.ts'
import { createReconcileSchedule } from '@millrace/worker/arrivals/reconcile-schedule.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { watchForCommand } from '../../support/watch-for-command.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('reconcile')
const log = createLog({ level: 'silent', instance: 'test' })
let directory: string
/** A separate server, since these tests delete all its data. */
let redisServer: RedisServer
let fleet: WorkerFleet

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  redisServer = await startRedisServer({ directory })
})
test.after(async () => {
  await redisServer.close()
  await rm(directory, { recursive: true })
})
test.before.each(async () => {
  fleet = await startWorkerFleet({ redisUrl: redisServer.url })
})
test.after.each(() => fleet.close())

function receiveUploads() {
  return createTestLifecycle(fleet).receiveUpload
}

function reconcileNow({ minAgeMs = 0, received }: { minAgeMs?: number; received?: UploadAddress[] } = {}) {
  const receiveUpload = received
    ? async (address: UploadAddress) => {
        received.push(address)
        return undefined
      }
    : receiveUploads()
  const { s3, bucket, queue } = fleet
  return createReconcile({ s3, bucket, receiveUpload, queue, minAgeMs, minCopyAgeMs: minAgeMs, log })(
    async () => {},
  )
}

/** Deletes the messages that S3 sent. */
async function deleteMessages(): Promise<void> {
  await fleet.sqs.send(new PurgeQueueCommand({ QueueUrl: fleet.environment['EVENTS_QUEUE_URL'] }))
}

function isListing(output: object): output is ListObjectsV2CommandOutput {
  return 'KeyCount' in output
}

test('reconciliation finishes an upload whose event and Redis data were lost', async () => {
  const address = await fleet.arrive(await sampleImage('image/png'), { filename: 'kept.png' })
  await deleteMessages()
  await fleet.startWorker()
  await fleet.redis.flushall()
  assert.equal(await reconcileNow(), { seen: 1, received: 1 })
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.intent.filename], ['ready', 'kept.png'])
})

test('reconciliation finishes an upload whose job was lost with Redis', async () => {
  const receiveUpload = receiveUploads()
  const address = await fleet.arrive(await sampleImage('image/png'))
  await receiveUpload(address)
  await deleteMessages()
  await fleet.redis.flushall()
  await reconcileNow()
  await fleet.startWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test('reconciliation restarts a failed job whose upload is unfinished', async () => {
  const address = await fleet.arrive(await sampleImage('image/png'))
  await deleteMessages()
  const stored = await receiveUploads()(address)
  const job = { id: address.id, etag: stored?.upload.arrival?.etag ?? '' }
  const queue = new Queue('uploads', { connection: fleet.redis, prefix: fleet.prefix })
  // The state of a failed job in BullMQ.
  const jobKey = `${fleet.prefix}:uploads:${processUploadJobId(job)}`
  await fleet.redis.lrem(`${fleet.prefix}:uploads:wait`, 1, processUploadJobId(job))
  await fleet.redis.zadd(`${fleet.prefix}:uploads:failed`, Date.now(), processUploadJobId(job))
  await fleet.redis.hset(jobKey, 'atm', 5, 'failedReason', 'S3 was unavailable', 'finishedOn', Date.now())
  assert.is(await queue.getJobState(processUploadJobId(job)), 'failed')

  await reconcileNow()
  const revived = await queue.getJob(processUploadJobId(job))
  assert.equal([await revived?.getState(), revived?.attemptsMade], ['waiting', 0])
  await queue.close()
  await fleet.startWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test('reconciliation skips finished uploads and new originals', async () => {
  const worker = await fleet.startWorker()
  const finished = await fleet.arrive(await sampleImage('image/png'))
  await fleet.finished(finished)
  await worker.close()
  const recent = await fleet.arrive(Buffer.from('text'))
  const received: UploadAddress[] = []
  assert.equal(await reconcileNow({ received, minAgeMs: 60_000 }), { seen: 2, received: 0 })
  await reconcileNow()
  assert.is((await fleet.records.find(finished))?.upload.state, 'ready')
  assert.is((await fleet.records.find(recent))?.upload.state, 'received')
})

test('reconciliation compares originals and manifests over many pages, owners and invalid keys', async () => {
  const put = (key: string) =>
    fleet.s3.send(new PutObjectCommand({ Bucket: fleet.bucket, Key: key, Body: 'x' }))
  const owners = ['a', 'a-b', 'a0', 'b', 's-1']
  const addresses = owners.flatMap((owner) => Array.from({ length: 5 }, () => ({ owner, id: newUploadId() })))
  for (const address of addresses) await put(originalKey(address))
  for (const key of ['originals/a/invalid', 'originals/zz', 'manifests/a/invalid.json', 'manifests/zz']) {
    await put(key)
  }
  // Manifests without an original, as after an original expired.
  for (const { owner, id } of [
    { owner: 'a', id: newUploadId() },
    { owner: 'zz', id: newUploadId() },
  ]) {
    await put(`manifests/${owner}/${id}.json`)
  }
  const finished = addresses.filter((_, i) => i % 2 === 0)
  for (const { owner, id } of finished) await put(`manifests/${owner}/${id}.json`)

  const s3 = new S3Client({ endpoint: fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '', ...fleet.identity })
  s3.middlewareStack.add((next) => (args) => next({ ...args, input: { ...args.input, MaxKeys: 3 } }), {
    step: 'initialize',
  })
  // S3's times are in seconds. A manifest of the same second might be older than its original.
  s3.middlewareStack.add(
    (next) => async (args) => {
      const response = await next(args)
      if (!isListing(response.output)) return response
      for (const object of response.output.Contents ?? []) {
        if (object.Key?.startsWith('manifests/')) object.LastModified = new Date(Date.now() + 1_000)
      }
      return response
    },
    { step: 'initialize' },
  )
  const received: string[] = []
  let pages = 0
  const receiveUpload = async ({ id }: UploadAddress) => {
    received.push(id)
    return undefined
  }
  const { bucket, queue } = fleet
  const result = await createReconcile({
    s3,
    bucket,
    receiveUpload,
    queue,
    minAgeMs: 0,
    minCopyAgeMs: 0,
    log,
  })(async () => {
    pages += 1
  })
  s3.destroy()
  const unfinished = addresses.filter((address) => !finished.includes(address)).map(({ id }) => id)
  assert.equal(received.sort(), unfinished.sort())
  assert.equal(result, { seen: 25, received: unfinished.length })
  assert.ok(pages >= 9, `${pages} pages`)
})

test('reconciliation runs when a worker starts, at intervals, and on one worker at a time', async () => {
  const { redis, prefix } = fleet
  const release = Promise.withResolvers<void>()
  const started = Promise.withResolvers<void>()
  const runs: string[] = []
  const schedule = (name: string, intervalMs: number, work: () => Promise<void>) =>
    createReconcileSchedule({
      redis,
      prefix,
      intervalMs,
      log,
      eraseLateCopies: async () => 0,
      expireUnfinished: async () => 0,
      reconcile: async () => {
        runs.push(name)
        await work()
        return { seen: 0, received: 0 }
      },
    })
  const first = schedule('first', 3_600_000, async () => {
    started.resolve()
    await release.promise
  })
  first.start()
  await started.promise
  const leaseRequest = await watchForCommand(
    redisServer.url,
    ([name, , , key, holder]) => name === 'eval' && key === `${prefix}:reconcile` && holder !== 'done',
  )
  const second = schedule('second', 3_600_000, async () => {})
  second.start()
  await leaseRequest.seen
  await second.stop()
  release.resolve()
  await first.stop()
  assert.equal(runs, ['first'])

  const threeRuns = Promise.withResolvers<void>()
  const third = schedule('third', 10, async () => {
    if (runs.length >= 4) threeRuns.resolve()
    throw new Error('S3 is unavailable')
  })
  third.start()
  await threeRuns.promise
  await third.stop()
  assert.equal(runs.slice(0, 4), ['first', 'third', 'third', 'third'])
})

test('a reconciliation run that lost its lease ends and does not release the lease of the next holder', async () => {
  const { redis, prefix } = fleet
  const key = `${prefix}:reconcile`
  const ended = Promise.withResolvers<unknown>()
  const schedule = createReconcileSchedule({
    redis,
    prefix,
    intervalMs: 3_600_000,
    log,
    eraseLateCopies: async () => 0,
    expireUnfinished: async () => 0,
    async reconcile(onPage) {
      await onPage()
      // As if this process was suspended for longer than the lease.
      await redis.set(key, 'another worker')
      await onPage().then(() => ended.resolve('still running'), ended.resolve)
      throw await ended.promise
    },
  })
  schedule.start()
  assert.match(String(await ended.promise), /Another worker has taken the lease/)
  await schedule.stop()
  assert.is(await redis.get(key), 'another worker')
})

test('a reconciliation run continues after Redis lost its lease', async () => {
  const { redis, prefix } = fleet
  const key = `${prefix}:reconcile`
  const expired = Promise.withResolvers<void>()
  const schedule = createReconcileSchedule({
    redis,
    prefix,
    intervalMs: 3_600_000,
    log,
    eraseLateCopies: async () => 0,
    async expireUnfinished() {
      expired.resolve()
      return 0
    },
    async reconcile(onPage) {
      await redis.del(key)
      await onPage()
      return { seen: 0, received: 0 }
    },
  })
  schedule.start()
  await expired.promise
  await schedule.stop()
  assert.is(await redis.get(key), 'done')
})

test('multipart uploads and unfinished bytes are erased once their upload expired, and originals are not', async () => {
  const { s3, bucket } = fleet
  const erase = createEraseUnfinished({ s3, bucket })
  const expireUnfinished = createExpireUnfinished({ s3, bucket, eraseUnfinished: erase })
  const address = { owner: 's-tester', id: newUploadId() }
  const startedAtMs = uploadIdTimeMs(address.id)
  const object = { Bucket: bucket, Key: originalKey(address) }
  await s3.send(new CreateMultipartUploadCommand(object))
  const unfinishedBytes = { Bucket: bucket, Key: unfinishedKey(address), Body: 'x' }
  await s3.send(new PutObjectCommand(unfinishedBytes))
  const complete = await fleet.arrive(new Uint8Array(7))
  const keys = async () => {
    const { Contents = [] }: ListObjectsV2CommandOutput = await s3.send(
      new ListObjectsV2Command({ Bucket: bucket }),
    )
    const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
    return [Contents, Uploads].flat().map(({ Key = '' }) => Key)
  }
  const before = [originalKey(complete), unfinishedKey(address), originalKey(address)]
  const onPage = async () => undefined
  const daysMs = 24 * 60 * 60 * 1000
  assert.is(await expireUnfinished(onPage, startedAtMs + 7 * daysMs), 0)
  assert.equal((await keys()).toSorted(), before.toSorted())
  assert.is(await expireUnfinished(onPage, startedAtMs + 8 * daysMs), 1)
  assert.equal(await keys(), [originalKey(complete)])
  // A small tus upload has unfinished bytes and no multipart upload.
  await s3.send(new PutObjectCommand(unfinishedBytes))
  assert.is(await expireUnfinished(onPage, startedAtMs + 8 * daysMs), 1)
  assert.equal(await keys(), [originalKey(complete)])
})

test.run()
