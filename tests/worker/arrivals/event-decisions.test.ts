import { randomUUID } from 'node:crypto'
import { S3Client } from '@aws-sdk/client-s3'
import type { Message } from '@aws-sdk/client-sqs'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import { maxReceives } from '@millrace/shared/jobs/events-queue.ts'
import { createUploadQueue, type UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import type { CheckedUpload } from '@millrace/shared/lifecycle/check-upload.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createApplyEdit } from '@millrace/worker/arrivals/apply-edit.ts'
import { createApplyErasure } from '@millrace/worker/arrivals/apply-erasure.ts'
import { createArrivals } from '@millrace/worker/arrivals/arrivals.ts'
import type { Redis } from 'ioredis'
import { pino } from 'pino'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { replaceDelays } from '../support/replace-delays.ts'
import { createScriptedSqs } from '../support/scripted-sqs.ts'

const test = suite('decisions about events')
const bucket = 'uploads'
const minuteMs = 60_000
const hourMs = 60 * minuteMs
const s3 = new S3Client({ region: 'us-east-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })
let redis: Redis
let queue: UploadQueue
let lifecycle: ReturnType<typeof createTestLifecycle>
const prefix = `test-${randomUUID()}`
let scripted: ReturnType<typeof createScriptedSqs>
let closers: (() => Promise<unknown>)[] = []

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
  queue = createUploadQueue({ redis, prefix })
  lifecycle = createTestLifecycle({ redis, prefix, s3, bucket, queue })
})
test.before.each(() => {
  scripted = createScriptedSqs()
})
test.after.each(async () => {
  scripted.end()
  for (const close of closers) await close()
  closers = []
})
test.after(async () => {
  await queue.close()
  s3.destroy()
  redis.disconnect()
})

const arrival = { etag: 'e', versionId: 'v1', size: 1 }

function uploadWith(address: UploadAddress, fields: Partial<Upload> = {}): Upload {
  const at = new Date(0).toISOString()
  const intent = { filename: 'a', contentType: 'text/plain', size: 1, preset: 'default' }
  const rest = { findings: {}, variants: [], createdAt: at, updatedAt: at }
  return { ...address, state: 'received', intent, arrival, ...rest, ...fields }
}

let messages = 0
function messageOf(
  addresses: UploadAddress[],
  options: { ageMs?: number; receivedCount?: number } = {},
): Message {
  const { ageMs = 0, receivedCount = 1 } = options
  messages += 1
  const Records = addresses.map(({ owner, id }) => ({
    eventName: 'ObjectCreated:Put',
    s3: { bucket: { name: bucket }, object: { key: `originals/${owner}/${id}`, versionId: 'v1' } },
  }))
  return {
    MessageId: `m${messages}`,
    ReceiptHandle: `handle of ${addresses[0]?.id}`,
    Body: JSON.stringify({ Records }),
    Attributes: {
      SentTimestamp: String(Date.now() - ageMs),
      ApproximateReceiveCount: String(receivedCount),
    },
  }
}

type Asked = { id: string; takesCopy: unknown; versionId: unknown; trustsKnown: unknown }

/** Starts the receiving of events as a worker does. */
function start(
  receive: (address: UploadAddress) => Partial<CheckedUpload> | undefined | Promise<undefined>,
  options: {
    queue?: Partial<UploadQueue>
    leaseMs?: number
    maxHeld?: number
    isReplicated?: boolean
  } = {},
) {
  const { leaseMs = minuteMs, maxHeld = 1_000, isReplicated = false } = options
  const asked: Asked[] = []
  const events: string[] = []
  const log = pino(
    { level: 'debug' },
    { write: (line: string) => void events.push(String(JSON.parse(line).event)) },
  )
  const arrivals = createArrivals({
    redis,
    prefix,
    bucket,
    sqs: scripted.sqs,
    queue: {
      ...queue,
      room: async () => 1_000,
      hasRoom: async () => true,
      states: async (jobs) => jobs.map(() => 'queued' as const),
      ensure: async () => {},
      ...options.queue,
    },
    lifecycle: {
      ...lifecycle,
      records: { ...lifecycle.records, find: async () => undefined },
      async receiveUpload(address, { takesCopy, versionId, trustsKnown } = {}) {
        asked.push({ id: address.id, takesCopy, versionId, trustsKnown })
        const received = await receive(address)
        return received && { upload: uploadWith(address), revision: 1, isCopy: false, ...received }
      },
    },
    processing: {
      finishUpload: { applyManifest: async () => 'applied', finish: async () => undefined },
    },
    config: {
      eventsQueueUrl: 'https://sqs.invalid/events',
      bucketReplicated: isReplicated,
      arrivalLeaseMs: leaseMs,
      maxQueuedJobs: maxHeld,
    },
    log,
  })
  arrivals.start()
  const stop = () => {
    scripted.end()
    return arrivals.stop()
  }
  closers.push(stop)
  return { asked, events, stop }
}

const newAddress = () => ({ owner: 's-tester', id: newUploadId() })
const deletedIds = () =>
  scripted
    .of('DeleteMessageBatch')
    .flatMap(({ input }) => JSON.stringify(input).match(/handle of [^"]+/g) ?? [])
    .map((handle) => handle.replace('handle of ', ''))

test('a message is deleted if its upload is finished or gone, and held while it is not', async () => {
  const [unfinished, processing, ready, gone, copy] = Array.from({ length: 5 }, newAddress)
  assert.ok(unfinished && processing && ready && gone && copy)
  const consumer = start((address) => {
    if (address.id === gone.id) return undefined
    if (address.id === ready.id) return { upload: uploadWith(address, { state: 'ready' }) }
    if (address.id === processing.id) return { upload: uploadWith(address, { state: 'processing' }) }
    return { isCopy: address.id === copy.id }
  })
  scripted.send(...[unfinished, processing, ready, gone, copy].map((address) => messageOf([address])))
  await scripted.until(() => scripted.of('ReceiveMessage').length === 2)
  assert.equal(deletedIds(), [ready.id, gone.id])
  await consumer.stop()
  assert.equal(deletedIds(), [ready.id, gone.id], 'nothing is held that is deleted')
})

test('a message of several uploads is held until all are finished', async () => {
  const [ready, unfinished] = [newAddress(), newAddress()]
  start((address) => ({
    upload: uploadWith(address, { state: address.id === ready.id ? 'ready' : 'received' }),
  }))
  scripted.send(messageOf([ready, unfinished]))
  await scripted.until(() => scripted.of('ReceiveMessage').length === 2)
  assert.equal(deletedIds(), [])
})

test('a copy is processed here once its event is half an hour old, and not before', async () => {
  const [young, old] = [newAddress(), newAddress()]
  const { asked } = start(() => undefined)
  scripted.send(messageOf([young], { ageMs: 29 * minuteMs }), messageOf([old], { ageMs: 31 * minuteMs }))
  await scripted.until(() => scripted.of('ReceiveMessage').length === 2)
  assert.equal(
    asked.map(({ id, takesCopy }) => [id, takesCopy]),
    [
      [young.id, false],
      [old.id, true],
    ],
  )
})

for (const isReplicated of [false, true]) {
  const where = isReplicated ? 'never where copies come' : 'where no copies come'
  test(`the version of an event is looked for, and a record is trusted ${where}`, async () => {
    const address = newAddress()
    const { asked } = start(() => undefined, { isReplicated })
    scripted.send(messageOf([address]))
    await scripted.until(() => scripted.of('ReceiveMessage').length === 2)
    assert.equal(asked, [{ id: address.id, takesCopy: false, versionId: 'v1', trustsKnown: !isReplicated }])
  })
}

test('an upload that lost its job is received again without trust in its record, and gets the job', async () => {
  const address = newAddress()
  const ensured = Promise.withResolvers<unknown>()
  const { asked } = start(() => ({}), {
    leaseMs: 1_000,
    queue: {
      states: async (jobs) => jobs.map(() => 'missing' as const),
      ensure: async (job) => ensured.resolve(job),
    },
  })
  scripted.send(messageOf([address]))
  assert.equal(await ensured.promise, { ...address, etag: 'e' })
  assert.equal(
    asked.slice(0, 2).map(({ trustsKnown }) => trustsKnown),
    [true, false],
  )
})

/** Skips the waits of the receiving, and records them. Those of held messages take as long as ever. @param leaseMs of these */
function skipWaits(leaseMs: number) {
  const delays = replaceDelays((ms) => (ms < leaseMs / 20 ? 0 : ms))
  closers.push(async () => delays.restore())
  return () => delays.waits.filter((ms) => ms < leaseMs / 20)
}

test('no more messages are received than the queue has room for, and a full queue is asked again every second', async () => {
  const rooms = [3, 0, 0]
  const waits = skipWaits(hourMs)
  start(() => undefined, { leaseMs: hourMs, queue: { room: async () => rooms.shift() ?? 25 } })
  scripted.send(messageOf([newAddress()]))
  await scripted.until(() => scripted.of('ReceiveMessage').length === 2)
  assert.equal(
    scripted.of('ReceiveMessage').map(({ input }) => input['MaxNumberOfMessages']),
    [3, 10],
  )
  assert.equal(waits(), [1_000, 1_000])
})

for (const [random, share] of [
  [0, 1],
  [1, 0.5],
] as const) {
  test(`after failures the next receive waits for ${share} of half a second, twice as long each time, up to half a minute`, async () => {
    const originalRandom = Math.random
    Math.random = () => random
    closers.push(async () => {
      Math.random = originalRandom
    })
    const waits = skipWaits(hourMs)
    let receives = 0
    scripted.answerWith(({ name }) => {
      // The ninth succeeds.
      if (name === 'ReceiveMessage' && ++receives !== 9) throw new Error('SQS is unavailable')
      return {}
    })
    scripted.send(messageOf([newAddress()]))
    start(() => undefined, { leaseMs: hourMs })
    await scripted.until(() => receives === 11)
    const expected = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 500]
    assert.equal(
      waits().slice(0, expected.length),
      expected.map((ms) => ms * share),
    )
  })
}

for (const [maxHeld, most] of [
  [20, 100],
  [800, 200],
] as const) {
  test(`of ${maxHeld} messages that a worker may hold, ${most} may wait for room of their owner, and no more are received then`, async () => {
    let parked = 0
    let onParked = () => {}
    const untilParked = (count: number) =>
      new Promise<void>((resolve) => {
        onParked = () => void (parked >= count && resolve())
        onParked()
      })
    start(() => ({}), {
      maxHeld,
      // They are checked every 10 ms.
      leaseMs: 200,
      queue: {
        states: async (jobs) => jobs.map(() => 'missing' as const),
        async hasRoom(owner) {
          // Nor is there any for others: those that wait are not looked at again.
          if (owner === undefined) return false
          parked += 1
          onParked()
          return false
        },
      },
    })
    let received = 0
    const receive = async (count: number) => {
      scripted.send(...Array.from({ length: count }, () => messageOf([newAddress()])))
      received += count
      await untilParked(received)
    }
    while (received < most - 10) await receive(10)
    for (const count of [5, 3, 1, 1, 1]) await receive(count)
    const limits = scripted.of('ReceiveMessage').map(({ input }) => input['MaxNumberOfMessages'])
    // A poll begins before the messages of the last one wait: here with room for ten, five, two, one and then none.
    assert.equal(limits.slice(most / 10), [10, 5, 2, 1])
  })
}

test('the reason is kept why a message failed that may be received twice more at most, and of no other', async () => {
  const failed = Promise.withResolvers<void>()
  const ids: string[] = []
  const consumer = start(async ({ id }) => {
    ids.push(id)
    if (ids.length === 2) failed.resolve()
    throw new TypeError('secret details')
  })
  const sent = [maxReceives - 3, maxReceives - 2].map((receivedCount) =>
    messageOf([newAddress()], { receivedCount }),
  )
  scripted.send(...sent)
  await failed.promise
  await consumer.stop()
  const failures = createArrivalFailures({ redis, prefix })
  const found = await failures.find(sent.map(({ MessageId = '' }) => MessageId))
  assert.equal(
    found.map((failure) => failure?.code),
    [undefined, 'TypeError'],
  )
})

test('a worker holds as many messages as it may, and receives the next ones when there is room', async () => {
  let state: 'queued' | 'missing' = 'queued'
  start((address) => (state === 'queued' ? {} : { upload: uploadWith(address, { state: 'ready' }) }), {
    maxHeld: 12,
    leaseMs: 1_000,
    queue: { states: async (jobs) => jobs.map(() => state) },
  })
  const ten = Array.from({ length: 10 }, newAddress)
  scripted.send(...ten.map((address) => messageOf([address])))
  await scripted.until(() => scripted.of('ReceiveMessage').length === 2)
  scripted.send(messageOf([newAddress()]), messageOf([newAddress()]))
  // Its leases are renewed, and nothing is received meanwhile.
  await scripted.until(() => scripted.of('ChangeMessageVisibilityBatch').length >= 2)
  state = 'missing'
  await scripted.until(() => scripted.of('ReceiveMessage').length === 3)
  assert.equal(
    scripted.of('ReceiveMessage').map(({ input }) => input['MaxNumberOfMessages']),
    [10, 2, 10],
  )
  assert.is(deletedIds().length, 12)
})

test('an outage keeps its message, and the next ones are received after a backoff', async () => {
  const waits = skipWaits(hourMs)
  const { events } = start(
    async () => {
      throw new AppError('dependency_unavailable')
    },
    { leaseMs: hourMs },
  )
  scripted.send(messageOf([newAddress()]))
  await scripted.until(() => scripted.of('ReceiveMessage').length === 2)
  assert.equal(deletedIds(), [])
  assert.is(events.filter((event) => event === 'receive-failed').length, 1)
  const [first = 0, ...others] = waits()
  assert.ok(first >= 250 && first <= 500, `${first} ms`)
  assert.equal(others, [])
})

test('an edit changes a record that has an older one or none, and never one that has a newer one', async () => {
  const address = newAddress()
  const applied = async (known: number | undefined, stored: number | undefined) => {
    const upload = uploadWith(
      address,
      known === undefined ? {} : { edit: { revision: known, filename: 'known' } },
    )
    let next: Upload | undefined
    await createApplyEdit({
      edits: {
        read: async () => (stored === undefined ? undefined : { revision: stored, filename: 'stored' }),
      },
      lookup: { find: async () => ({ upload, revision: 1 }) },
      records: {
        async update(_address, change) {
          next = change(upload)
          return undefined
        },
      },
    })(address)
    return next?.intent.filename
  }
  assert.equal(
    [
      await applied(undefined, 1),
      await applied(1, 2),
      await applied(2, 2),
      await applied(3, 2),
      await applied(1, undefined),
    ],
    ['stored', 'stored', undefined, undefined, undefined],
  )
})

test('the event of an erasure marker finishes the erasure, unless that is done', async () => {
  const [done, open] = [newAddress(), newAddress()]
  const finished: string[] = []
  const applyErasure = createApplyErasure({
    records: { isErasureVerified: async ({ id }) => id === done.id },
    finishErasure: async ({ id }) => {
      finished.push(id)
      return []
    },
  })
  for (const address of [done, open]) await applyErasure(address)
  assert.equal(finished, [open.id])
})

test.run()
