import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { createArrivalFailures } from '@millrace/shared/jobs/arrival-failures.ts'
import { parseS3Event } from '@millrace/shared/jobs/s3-event.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createObjectCreated } from '@millrace/worker/arrivals/object-created.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { replaceDelays } from '../support/replace-delays.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('S3 event consumer')
const log = createLog({ level: 'silent', instance: 'test' })
let fleet: WorkerFleet
let sqs: SQSClient
let queueUrl: string
let queues = 0
let consumers: { stop(): Promise<void> }[] = []
/** The number of deleted messages, and the listener of the test that waits for it. */
let deleted = 0
let onDeleted = () => {}
/** The number of next calls that fail before they reach SQS. */
let failures = 0
/** The errors of polls: those of `failures`, and aborts. */
let pollErrors: string[] = []
/** Is called when a poll begins. */
let onPoll = () => {}

test.before(async () => {
  fleet = await startWorkerFleet()
  const { AWS_ENDPOINT_URL_SQS: endpoint = '' } = fleet.environment
  sqs = new SQSClient({ endpoint, ...fleet.identity, maxAttempts: 1 })
  sqs.middlewareStack.add(
    (next, context) => async (args) => {
      const isPoll = context['commandName'] === 'ReceiveMessageCommand'
      if (isPoll) onPoll()
      const send = async () => {
        failures -= 1
        if (failures >= 0) throw new Error('connection reset')
        return next(args)
      }
      const response = await send().catch((error: Error) => {
        if (isPoll) pollErrors.push(error.name)
        throw error
      })
      if (context['commandName'] === 'DeleteMessageBatchCommand') {
        deleted += JSON.stringify(args.input).split('ReceiptHandle').length - 1
        onDeleted()
      }
      return response
    },
    { step: 'initialize' },
  )
})
test.before.each(async () => {
  queues += 1
  deleted = 0
  failures = 0
  pollErrors = []
  onPoll = () => {}
  const { QueueUrl = '' } = await fleet.sqs.send(new CreateQueueCommand({ QueueName: `events-${queues}` }))
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
  {
    applyErasure = async () => {},
    applyEdit = async () => undefined,
    applyCopiedManifest,
  }: {
    applyErasure?: (address: UploadAddress) => Promise<void>
    applyEdit?: (address: UploadAddress) => Promise<void>
    applyCopiedManifest?: (address: UploadAddress) => Promise<void>
  } = {},
) {
  const consumer = createObjectCreated({
    sqs,
    queueUrl,
    bucket: fleet.bucket,
    receiveUpload,
    queue: fleet.queue,
    records: fleet.records,
    // A message that is not deleted is delivered again after a second.
    leaseMs: 1_000,
    maxHeld: 1_000,
    minCopyAgeMs: 60_000,
    failures: createArrivalFailures(fleet),
    applyErasure,
    applyEdit,
    applyCopiedManifest,
    log,
  })
  consumer.start()
  consumers.push(consumer)
  return consumer
}

async function allDeleted(count: number): Promise<void> {
  if (deleted >= count) return
  await new Promise<void>((resolve) => {
    onDeleted = () => {
      if (deleted >= count) resolve()
    }
  })
}

async function send(body: string): Promise<void> {
  await fleet.sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: body }))
}

function event(key: string, options: { name?: string; bucket?: string } = {}) {
  return {
    eventVersion: '2.1',
    eventSource: 'aws:s3',
    eventName: options.name ?? 'ObjectCreated:Put',
    s3: { bucket: { name: options.bucket ?? fleet.bucket }, object: { key, size: 1, eTag: 'x' } },
  }
}

const message = (...events: object[]) => JSON.stringify({ Records: events })

test('events of anything but originals are deleted, and the next ones are handled', async () => {
  const received: string[] = []
  consume(async ({ id }) => {
    received.push(id)
    return undefined
  })
  const id = newUploadId()
  const bodies = [
    JSON.stringify({ Service: 'Amazon S3', Event: 's3:TestEvent', Bucket: fleet.bucket }),
    message(),
    message(event(`originals/owner/${id}`, { name: 'ObjectRemoved:Delete' })),
    message(event(`originals/owner/${id}`, { bucket: 'another-bucket' })),
    message(event(`manifests/owner/${id}.json`)),
    message(event(`erasures/owner/${id}`)),
    message(event('originals/owner/not-an-id')),
    message(event(`originals/../${id}`)),
    message(event('originals/%E0%A4%A')),
    message(event(`originals/owner/${id}`)),
  ]
  for (const body of bodies) await send(body)
  await allDeleted(bodies.length)
  assert.equal(received, [id])
})

test('messages that this version cannot read stay in the queue, and the next ones are handled', async () => {
  const received: string[] = []
  const consumer = consume(async ({ id }) => {
    received.push(id)
    return undefined
  })
  const unreadable = [
    'not JSON {',
    '[]',
    'null',
    '{"Records":"none"}',
    '{"Records":[{"eventName":"ObjectCreated:Put"}]}',
  ]
  const id = newUploadId()
  for (const body of [...unreadable, message(event(`originals/owner/${id}`))]) await send(body)
  await allDeleted(1)
  await consumer.stop()
  assert.equal(received, [id])
  const { Attributes = {} } = await fleet.sqs.send(
    new GetQueueAttributesCommand({
      QueueUrl: queueUrl,
      AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
    }),
  )
  const counts = Object.values(Attributes).map(Number)
  assert.is(
    counts.reduce((sum, count) => sum + count, 0),
    unreadable.length,
  )
})

test('manifests and erasures of other regions are applied, and a failed erasure is retried', async () => {
  const applied: string[] = []
  let failed = false
  const apply = (kind: string) => async (address: UploadAddress) => {
    applied.push(`${kind} ${address.owner}/${address.id}`)
    if (kind !== 'erased' || failed) return
    failed = true
    throw new AppError('dependency_unavailable')
  }
  consume(async () => undefined, { applyCopiedManifest: apply('finished'), applyErasure: apply('erased') })
  const id = newUploadId()
  const keys = [`manifests/a/${id}.json`, `erasures/a/${id}`]
  const invalidKeys = [
    'erasures/a/not-an-id',
    `erasures/${id}`,
    `erasures/a/b/${id}`,
    `erasures/A/${id}`,
    'manifests/a/x.json',
  ]
  for (const key of [...invalidKeys, ...keys]) await send(message(event(key)))
  await allDeleted(keys.length + invalidKeys.length)
  assert.equal(applied.toSorted(), [`erased a/${id}`, `erased a/${id}`, `finished a/${id}`])
})

test('a message stays in the queue until its upload is recorded', async () => {
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

test('a message that fails does not keep other messages of the batch in the queue', async () => {
  const [good, bad] = [newUploadId(), newUploadId()]
  const calls: string[] = []
  const retried = Promise.withResolvers<void>()
  await send(message(event(`originals/owner/${bad}`)))
  await send(message(event(`originals/owner/${good}`)))
  consume(async ({ id }) => {
    calls.push(id)
    if (id !== bad) return undefined
    if (calls.filter((call) => call === bad).length < 2) throw new Error('not now')
    retried.resolve()
    return undefined
  })
  await retried.promise
  await allDeleted(2)
  assert.is(calls.filter((id) => id === good).length, 1, 'the other message was not delivered again')
})

test('ten messages are handled concurrently, and the records of one message in their order', async () => {
  const allWaiting = Promise.withResolvers<void>()
  let waiting = 0
  for (let i = 0; i < 10; i++) await send(message(event(`originals/owner/${newUploadId()}`)))
  consume(async () => {
    waiting += 1
    if (waiting === 10) allWaiting.resolve()
    await allWaiting.promise
    return undefined
  })
  await allDeleted(10)
  const ids: string[] = []
  const inOneMessage = [newUploadId(), newUploadId(), newUploadId()]
  await consumers.pop()?.stop()
  consume(async ({ id }) => {
    ids.push(id)
    return undefined
  })
  await send(message(...inOneMessage.map((id) => event(`originals/owner/${id}`))))
  await allDeleted(11)
  assert.equal(ids, inOneMessage)
})

test('the consumer continues after SQS was unavailable', async () => {
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

test('the consumer stops during a long poll, which it aborts, and during a backoff, which it ends', async () => {
  const polled = Promise.withResolvers<void>()
  onPoll = polled.resolve
  const polling = consume(async () => undefined)
  await polled.promise
  await polling.stop()
  assert.equal(pollErrors, ['AbortError'])

  // A backoff outlasts this test.
  const waiting = Promise.withResolvers<void>()
  const delays = replaceDelays((ms) => {
    if (ms < 250 || ms > 500) return ms
    waiting.resolve()
    return 3_600_000
  })
  failures = 1
  const failing = consume(async () => undefined)
  await waiting.promise
  await failing.stop()
  delays.restore()
  assert.equal(pollErrors, ['AbortError', 'Error'])
})

test('a consumer that stops with waitForPoll handles the messages of its active poll', async () => {
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

test('keys of S3 events are decoded by the rules of HTML forms', () => {
  const body = message(event('originals/a+b%2Bc%20d%C3%BC'))
  assert.equal(parseS3Event(body, fleet.bucket), [{ key: 'originals/a b+c dü' }])
  assert.is(parseS3Event(undefined, fleet.bucket), undefined)
})

test('repeated events of the same bytes make one job', async () => {
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
