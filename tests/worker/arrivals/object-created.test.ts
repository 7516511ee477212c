import { CreateQueueCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createObjectCreated, waitSeconds } from '@millrace/worker/arrivals/object-created.ts'
import { parseS3Event } from '@millrace/worker/arrivals/s3-event.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('object created')
const log = createLog({ level: 'silent', instance: 'test' })
let fleet: WorkerFleet
let sqs: SQSClient
let queueUrl: string
let queues = 0
let consumers: { stop(): Promise<void> }[] = []
/** How many messages were deleted, and who waits for how many. */
let deleted = 0
let tell = () => {}
/** How many calls of SQS are to fail before they reach it. */
let failures = 0

test.before(async () => {
  fleet = await startWorkerFleet()
  const { AWS_ENDPOINT_URL_SQS: endpoint = '' } = fleet.environment
  sqs = new SQSClient({ endpoint, ...fleet.identity, maxAttempts: 1 })
  sqs.middlewareStack.add(
    (next, context) => async (args) => {
      if (failures > 0) {
        failures -= 1
        throw new Error('connection reset')
      }
      const answer = await next(args)
      if (context['commandName'] === 'DeleteMessageBatchCommand') {
        deleted += JSON.stringify(args.input).split('ReceiptHandle').length - 1
        tell()
      }
      return answer
    },
    { step: 'initialize' },
  )
})
test.before.each(async () => {
  queues += 1
  deleted = 0
  // A message that is not deleted comes again after a second.
  const { QueueUrl = '' } = await fleet.sqs.send(
    new CreateQueueCommand({ QueueName: `events-${queues}`, Attributes: { VisibilityTimeout: '1' } }),
  )
  queueUrl = new URL(new URL(QueueUrl).pathname, fleet.environment['AWS_ENDPOINT_URL_SQS']).href
})
test.after.each(async () => {
  for (const { stop } of consumers) await stop()
  consumers = []
})
test.after(async () => {
  sqs.destroy()
  await fleet.close()
})

function consume(
  receiveUpload: (address: UploadAddress) => Promise<undefined>,
  crossRegionEvents?: {
    finished(address: UploadAddress): Promise<void>
    erased(address: UploadAddress): Promise<void>
  },
) {
  const consumer = createObjectCreated({
    sqs,
    queueUrl,
    bucket: fleet.bucket,
    receiveUpload,
    crossRegionEvents,
    log,
  })
  consumer.start()
  consumers.push(consumer)
  return consumer
}

async function allDeleted(count: number): Promise<void> {
  if (deleted >= count) return
  await new Promise<void>((resolve) => {
    tell = () => {
      if (deleted >= count) resolve()
    }
  })
}

async function send(body: string): Promise<void> {
  await fleet.sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: body }))
}

function event(key: string, more: { name?: string; bucket?: string } = {}) {
  return {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    eventName: more.name ?? 'ObjectCreated:Put',
    s3: { bucket: { name: more.bucket ?? fleet.bucket }, object: { key, size: 1, eTag: 'x' } },
  }
}

const message = (...events: object[]) => JSON.stringify({ Records: events })

test('deletes what is no event of ours, and goes on', async () => {
  const received: string[] = []
  consume(async ({ id }) => {
    received.push(id)
    return undefined
  })
  const id = newUploadId()
  const bodies = [
    'not JSON {',
    '[]',
    'null',
    '{"Records":"none"}',
    '{"Records":[{"eventName":"ObjectCreated:Put"}]}',
    JSON.stringify({ Service: 'Amazon S3', Event: 's3:TestEvent', Bucket: fleet.bucket }),
    message(),
    message(event(`originals/owner/${id}`, { name: 'ObjectRemoved:Delete' })),
    message(event(`originals/owner/${id}`, { bucket: 'another-bucket' })),
    message(event(`manifests/owner/${id}.json`)),
    message(event(`erased/owner/${id}`)),
    message(event('originals/owner/not-an-id')),
    message(event(`originals/../${id}`)),
    message(event('originals/%E0%A4%A')),
    message(event(`originals/owner/${id}`)),
  ]
  for (const body of bodies) await send(body)
  await allDeleted(bodies.length)
  assert.equal(received, [id])
})

test('hears of what other regions finished and erased, and again of an erasure that failed half-way', async () => {
  const told: string[] = []
  let failed = false
  const tells = (what: string) => async (address: UploadAddress) => {
    told.push(`${what} ${address.owner}/${address.id}`)
    if (what !== 'erased' || failed) return
    failed = true
    throw new AppError('dependency_unavailable')
  }
  consume(async () => undefined, { finished: tells('finished'), erased: tells('erased') })
  const id = newUploadId()
  const keys = [`manifests/a/${id}.json`, `erased/a/${id}`]
  const strange = [
    'erased/a/not-an-id',
    `erased/${id}`,
    `erased/a/b/${id}`,
    `erased/A/${id}`,
    'manifests/a/x.json',
  ]
  for (const key of [...strange, ...keys]) await send(message(event(key)))
  await allDeleted(keys.length + strange.length)
  assert.equal(told.toSorted(), [`erased a/${id}`, `erased a/${id}`, `finished a/${id}`])
})

test('leaves a message in the queue until its upload is safe', async () => {
  let calls = 0
  consume(async () => {
    calls += 1
    if (calls === 1) throw new AppError('dependency_unavailable')
    return undefined
  })
  await send(message(event(`originals/owner/${newUploadId()}`)))
  await allDeleted(1)
  assert.is(calls, 2)
})

test('deletes each of several messages for itself', async () => {
  const [good, bad] = [newUploadId(), newUploadId()]
  const calls: string[] = []
  const again = Promise.withResolvers<void>()
  await send(message(event(`originals/owner/${bad}`)))
  await send(message(event(`originals/owner/${good}`)))
  consume(async ({ id }) => {
    calls.push(id)
    if (id !== bad) return undefined
    if (calls.filter((call) => call === bad).length < 2) throw new Error('not now')
    again.resolve()
    return undefined
  })
  await again.promise
  await allDeleted(2)
  assert.is(calls.filter((id) => id === good).length, 1, 'the good one did not come again')
})

test('handles ten messages side by side, and all records of one', async () => {
  const everybody = Promise.withResolvers<void>()
  let waiting = 0
  for (let i = 0; i < 10; i++) await send(message(event(`originals/owner/${newUploadId()}`)))
  consume(async () => {
    waiting += 1
    if (waiting === 10) everybody.resolve()
    await everybody.promise
    return undefined
  })
  await allDeleted(10)
  const ids: string[] = []
  const several = [newUploadId(), newUploadId(), newUploadId()]
  await consumers.pop()?.stop()
  consume(async ({ id }) => {
    ids.push(id)
    return undefined
  })
  await send(message(...several.map((id) => event(`originals/owner/${id}`))))
  await allDeleted(11)
  assert.equal(ids, several)
})

test('goes on after SQS was away', async () => {
  failures = 2
  const received = Promise.withResolvers<string>()
  const id = newUploadId()
  consume(async (address) => {
    received.resolve(address.id)
    return undefined
  })
  await send(message(event(`originals/owner/${id}`)))
  assert.is(await received.promise, id)
  await allDeleted(1)
})

test('stops at once in the middle of a long poll, and while it waits to try again', async () => {
  const startedAt = performance.now()
  await consume(async () => undefined).stop()
  failures = 1_000
  const failing = consume(async () => undefined)
  await failing.stop()
  failures = 0
  assert.ok(performance.now() - startedAt < waitSeconds * 1000, 'less than one long poll')
})

test('takes what comes to its last request where it has the time to wait for that', async () => {
  const received: string[] = []
  const consumer = consume(async ({ id }) => {
    received.push(id)
    return undefined
  })
  const stopped = consumer.stop({ waitForPoll: true })
  const id = newUploadId()
  await send(message(event(`originals/owner/${id}`)))
  await stopped
  assert.equal(received, [id])
})

test('decodes keys as S3 encodes them', () => {
  const body = message(event('originals/a+b%2Bc%20d%C3%BC'))
  assert.equal(parseS3Event(body, fleet.bucket), ['originals/a b+c dü'])
  assert.is(parseS3Event(undefined, fleet.bucket), undefined)
})

test('makes one job of any number of events', async () => {
  const worker = await fleet.startWorker()
  const address = await fleet.arrive(await sampleImage('image/png'))
  const body = message(event(`originals/${address.owner}/${address.id}`))
  for (let i = 0; i < 5; i++) await fleet.message(body)
  await fleet.finished(address)
  for (let i = 0; i < 5; i++) await fleet.message(body)
  const after = await fleet.arrive(await sampleImage('image/png'))
  await fleet.finished(after)
  assert.equal(fleet.changes.states(address.id), ['received', 'processing', 'ready'])
  await worker.close()
})

test.run()
