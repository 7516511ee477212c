import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { S3Client } from '@aws-sdk/client-s3'
import {
  ChangeMessageVisibilityCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
} from '@aws-sdk/client-sqs'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { presentOf } from '@millrace/shared/fleet/fleet-journal.ts'
import { createHeartbeats } from '@millrace/shared/fleet/heartbeats.ts'
import { createQueueSampler } from '@millrace/shared/fleet/queue-sampler.ts'
import { processUploadJobId } from '@millrace/shared/jobs/process-upload-job.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { type ProxyAction, type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { watchSqs } from '../support/watch-sqs.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

/** Long enough for the slowest machine to extend it in time, short enough to wait for its end. */
const leaseMs = 6_000

/** A file without variants, which needs no decoder. */
const file = Buffer.from('just text')

const test = suite('held arrivals', {}, { limitMs: 60_000 })
let directory: string
let redisServer: RedisServer
let fleet: WorkerFleet
let proxy: S3Proxy
/** A client through the proxy, without retries of its own. */
let proxiedS3: S3Client
let commands: ReturnType<typeof watchSqs>
/** Lets writes pass that a failed test still holds. */
let openHeld = () => {}

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-held-'))
  redisServer = await startRedisServer({ directory })
  fleet = await startWorkerFleet({
    redisUrl: redisServer.url,
    environment: { ARRIVAL_LEASE_MS: String(leaseMs) },
  })
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  proxiedS3 = new S3Client({ endpoint: proxy.endpoint, ...fleet.identity, maxAttempts: 1 })
})
test.before.each(() => {
  commands = watchSqs(fleet.sqs)
})
test.after.each(async () => {
  openHeld()
  await fleet.reset()
  proxy.intercept(() => 'pass')
})
test.after(async () => {
  await fleet.close()
  proxiedS3.destroy()
  await proxy.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

const writes =
  (prefix: string) =>
  ({ method, path }: SeenRequest) =>
    method === 'PUT' && path.includes(`/${prefix}/`)

/** Holds all writes of manifests, so that jobs stay active, until `open`. */
function holdManifests() {
  const opened = Promise.withResolvers<ProxyAction>()
  const arrived = Promise.withResolvers<void>()
  proxy.intercept((seen) => {
    if (!writes('manifests')(seen)) return 'pass'
    arrived.resolve()
    return opened.promise
  })
  openHeld = () => opened.resolve('pass')
  return { arrived: arrived.promise, open: openHeld }
}

async function arriveMany(count: number): Promise<UploadAddress[]> {
  return Promise.all(Array.from({ length: count }, () => fleet.arrive(file)))
}

async function statesOf(addresses: UploadAddress[]): Promise<string[]> {
  const uploads = await Promise.all(addresses.map((address) => fleet.finished(address)))
  return [...new Set(uploads.map(({ state }) => state))]
}

/** @returns messages that are visible, invisible, and in the dead-letter queue */
async function messageCounts(): Promise<number[]> {
  const read = async (queueUrl: string) => {
    const { Attributes: attributes } = await fleet.sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: queueUrl,
        AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
      }),
    )
    return [attributes?.ApproximateNumberOfMessages, attributes?.ApproximateNumberOfMessagesNotVisible]
  }
  const url = fleet.environment['EVENTS_QUEUE_URL'] ?? ''
  return [...(await read(url)), (await read(url.replace(/events$/, 'events-dead')))[0]].map(Number)
}

async function sampleQueue() {
  const { redis, prefix, queue, sqs, environment } = fleet
  const heartbeats = createHeartbeats({ redis, prefix })
  const queueUrl = environment['EVENTS_QUEUE_URL'] ?? ''
  return (await createQueueSampler({ queue, sqs, queueUrl, heartbeats })()).queue
}

async function jobIdOf(address: UploadAddress): Promise<string> {
  const original = await createOriginals(fleet).find(address)
  return processUploadJobId({ id: address.id, etag: original?.arrival.etag ?? '' })
}

test('uploads whose jobs and records Redis lost end ready without reconciliation', async () => {
  const manifests = holdManifests()
  await fleet.startWorker({ s3: proxiedS3 })
  const addresses = await arriveMany(21)
  await commands.handled(21)
  await manifests.arrived
  await fleet.redis.flushall()
  fleet.changes.clear()
  manifests.open()
  assert.equal(await statesOf(addresses), ['ready'])
  await commands.deleted(21)
  assert.equal(await messageCounts(), [0, 0, 0])
})

test('uploads whose worker died with their messages are finished by another one although Redis lost their jobs', async () => {
  const addresses = await arriveMany(5)
  const { receiveUpload } = createTestLifecycle(fleet)
  for (const address of addresses) await receiveUpload(address)
  // As a worker whose lease has one second left.
  const receive = new ReceiveMessageCommand({
    QueueUrl: fleet.environment['EVENTS_QUEUE_URL'],
    MaxNumberOfMessages: 10,
    VisibilityTimeout: 1,
  })
  let received = 0
  while (received < 5) received += (await fleet.sqs.send(receive)).Messages?.length ?? 0
  await fleet.redis.flushall()
  fleet.changes.clear()
  await fleet.startWorker()
  assert.equal(await statesOf(addresses), ['ready'])
  await commands.deleted(5)
  assert.equal(await messageCounts(), [0, 0, 0])
})

test('a message is deleted only after the manifest of its upload was written', async () => {
  const manifest = proxy.hold(writes('manifests'))
  await fleet.startWorker({ s3: proxiedS3 })
  const address = await fleet.arrive(file)
  await manifest.arrived
  await commands.until('ChangeMessageVisibilityBatchCommand', 2)
  assert.is(commands.deletedCount(), 0)
  assert.equal(await messageCounts(), [0, 1, 0])
  manifest.release()
  assert.is((await fleet.finished(address)).state, 'ready')
  await commands.deleted(1)
  assert.equal(await messageCounts(), [0, 0, 0])
  assert.equal(commands.receives(), [1], 'the message was received once')
})

test('a worker that drains deletes the message of its last upload, and leaves those of waiting jobs', async () => {
  const manifest = proxy.hold(writes('manifests'))
  const worker = await fleet.startWorker({
    s3: proxiedS3,
    environment: { WORKER_SLOTS: '1', ARRIVAL_LEASE_MS: '3600000' },
  })
  const address = await fleet.arrive(file)
  await manifest.arrived
  const [waiting] = await arriveMany(1)
  await commands.handled(2)
  const closed = worker.close()
  manifest.release()
  await closed
  assert.equal(fleet.changes.states(address.id), ['received', 'processing', 'ready'])
  assert.equal(fleet.changes.states(waiting?.id ?? ''), ['received'])
  assert.equal(await messageCounts(), [0, 1, 0])
})

test('a failed job of an unfinished upload is restarted by its message', async () => {
  const manifests = holdManifests()
  await fleet.startWorker({ s3: proxiedS3, environment: { WORKER_SLOTS: '1' } })
  const [active] = await arriveMany(1)
  await manifests.arrived
  const [waiting] = await arriveMany(1)
  assert.ok(active && waiting)
  await commands.handled(2)
  const jobId = await jobIdOf(waiting)
  const { redis, prefix } = fleet
  // The state of a failed job in BullMQ.
  await redis.zrem(`${prefix}:uploads:prioritized`, jobId)
  await redis.hset(`${prefix}:uploads:${jobId}`, 'atm', 5, 'failedReason', 'x', 'finishedOn', Date.now())
  await redis.zadd(`${prefix}:uploads:failed`, Date.now(), jobId)
  manifests.open()
  assert.equal(await statesOf([active, waiting]), ['ready'])
})

test('a backlog above the limit of queued jobs waits in SQS, and drains', async () => {
  const limit = 3
  const manifests = holdManifests()
  const addresses = await arriveMany(12)
  let most = 0
  const finishedCount = () => addresses.filter(({ id }) => fleet.changes.states(id).includes('ready')).length
  commands.onReceive(() => {
    most = Math.max(most, commands.receives().length - finishedCount())
  })
  await fleet.startWorker({ s3: proxiedS3, environment: { MAX_QUEUED_JOBS: String(limit) } })
  await manifests.arrived
  await commands.received(limit)
  assert.equal(await messageCounts(), [12 - limit, limit, 0])
  // A message that was just received has no job yet. Then each upload counts once.
  let sample = await sampleQueue()
  while (presentOf(sample) < 12) sample = await sampleQueue()
  assert.equal([presentOf(sample), sample.notRelayed], [12, 12 - limit])
  manifests.open()
  assert.equal(await statesOf(addresses), ['ready'])
  await commands.deleted(12)
  assert.is(most, limit)
})

test('messages that arrive while S3 is unavailable are received once and none moves to the dead-letter queue', async () => {
  const enough = Promise.withResolvers<void>()
  let refused = 0
  proxy.intercept(() => {
    refused += 1
    if (refused === 12) enough.resolve()
    return 'refuse'
  })
  const addresses = await arriveMany(3)
  await fleet.startWorker({ s3: proxiedS3 })
  await enough.promise
  proxy.intercept(() => 'pass')
  assert.equal(await statesOf(addresses), ['ready'])
  await commands.deleted(3)
  assert.equal(await messageCounts(), [0, 0, 0])
  assert.equal(commands.receives(), [1, 1, 1])
})

test('a message that arrives while Redis is full is received once', async () => {
  await fleet.startWorker()
  // Once this one is deleted, the worker has started.
  await fleet.message(JSON.stringify({ Service: 'Amazon S3', Event: 's3:TestEvent', Bucket: fleet.bucket }))
  await commands.until('DeleteMessageBatchCommand', 1)
  await fleet.redis.config('SET', 'maxmemory', '1')
  const [address] = await arriveMany(1)
  assert.ok(address)
  await commands.handled(1)
  assert.equal(fleet.changes.states(address.id), [])
  await fleet.redis.config('SET', 'maxmemory', '0')
  assert.equal(await statesOf([address]), ['ready'])
  await commands.deleted(1)
  assert.equal(commands.receives(), [1])
})

test('bytes that replace an original while its message is held are processed, and both messages are deleted', async () => {
  const manifests = holdManifests()
  await fleet.startWorker({ s3: proxiedS3 })
  const address = await fleet.arrive(Buffer.from('older'))
  await manifests.arrived
  await fleet.arrive(Buffer.from('newer'), address)
  const newer = await createOriginals(fleet).find(address)
  await commands.handled(2)
  manifests.open()
  const isReady = ({ state, arrival }: Upload) => state === 'ready' && arrival?.etag === newer?.arrival.etag
  await fleet.changes.until(address.id, isReady)
  await commands.deleted(2)
  assert.equal(await messageCounts(), [0, 0, 0])
})

test('a held message that SQS delivers again is held once, by its newest receipt handle', async () => {
  const manifests = holdManifests()
  await fleet.startWorker({ s3: proxiedS3 })
  const address = await fleet.arrive(file)
  await manifests.arrived
  await commands.handled(1)
  await fleet.sqs.send(
    new ChangeMessageVisibilityCommand({
      QueueUrl: fleet.environment['EVENTS_QUEUE_URL'],
      ReceiptHandle: commands.lastReceiptHandle(),
      VisibilityTimeout: 0,
    }),
  )
  await commands.handled(2)
  manifests.open()
  assert.is((await fleet.finished(address)).state, 'ready')
  await commands.deleted(1)
  assert.equal(await messageCounts(), [0, 0, 0])
  assert.equal(fleet.changes.states(address.id), ['received', 'processing', 'ready'])
})

test('an erased upload whose message is held gets no job again', async () => {
  const manifests = holdManifests()
  await fleet.startWorker({ s3: proxiedS3, environment: { WORKER_SLOTS: '1' } })
  const [active] = await arriveMany(1)
  await manifests.arrived
  const [erased] = await arriveMany(1)
  assert.ok(active && erased)
  await commands.handled(2)
  await fleet.records.erase(erased)
  const original = await createOriginals(fleet).find(erased)
  await fleet.queue.remove({ ...erased, etag: original?.arrival.etag ?? '' })
  await commands.deleted(1)
  const { waiting, prioritized } = await fleet.queue.counts()
  assert.is(waiting + prioritized, 0)
  manifests.open()
  assert.is((await fleet.finished(active)).state, 'ready')
})

test.run()
