import { randomBytes } from 'node:crypto'
import {
  CreateQueueCommand,
  GetQueueAttributesCommand,
  ReceiveMessageCommand,
  SendMessageBatchCommand,
  SendMessageCommand,
  SQSClient,
} from '@aws-sdk/client-sqs'
import { startSqsServer } from '@millrace/local/cloud/sqs-server.ts'
import { createDeadLetters } from '@millrace/shared/jobs/dead-letters.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('dead letters')
const identity = {
  region: 'us-east-1',
  credentials: { accessKeyId: 'test', secretAccessKey: randomBytes(8).toString('hex') },
}
let server: Awaited<ReturnType<typeof startSqsServer>>
let sqs: SQSClient
let queues = 0
let events: string
let dead: string
/** Called before each request to SQS, with the name of its command; may throw. */
let beforeRequest: (command: string) => void = () => {}

test.before(async () => {
  server = await startSqsServer(identity)
  sqs = new SQSClient({ endpoint: server.endpoint, ...identity, maxAttempts: 1 })
  sqs.middlewareStack.add(
    (next, context) => async (args) => {
      beforeRequest(String(context['commandName']))
      return next(args)
    },
    { step: 'initialize' },
  )
})
test.before.each(async () => {
  queues += 1
  events = await createQueue(`events-${queues}`)
  dead = await createQueue(`dead-${queues}`)
})
test.after.each(() => {
  beforeRequest = () => {}
})
test.after(async () => {
  sqs.destroy()
  await server.close()
})

async function createQueue(name: string): Promise<string> {
  const { QueueUrl = '' } = await sqs.send(new CreateQueueCommand({ QueueName: name }))
  return new URL(new URL(QueueUrl).pathname, server.endpoint).href
}

const open = () => createDeadLetters({ sqs, deadLetterQueueUrl: dead, eventsQueueUrl: events })

async function fill(count: number): Promise<string[]> {
  const bodies = Array.from({ length: count }, (_, i) => `message ${i}`)
  for (let i = 0; i < count; i += 10) {
    await sqs.send(
      new SendMessageBatchCommand({
        QueueUrl: dead,
        Entries: bodies.slice(i, i + 10).map((body, n) => ({ Id: String(n), MessageBody: body })),
      }),
    )
  }
  return bodies
}

/** Returns the text of the error of a redrive that must fail. */
async function failureOf(letters: ReturnType<typeof open>): Promise<string> {
  return letters.redrive().then(() => 'no error', String)
}

/** Receives everything that is visible. */
async function receiveAll(queueUrl: string): Promise<string[]> {
  const bodies: string[] = []
  for (;;) {
    const { Messages: messages = [] } = await sqs.send(
      new ReceiveMessageCommand({ QueueUrl: queueUrl, MaxNumberOfMessages: 10 }),
    )
    if (messages.length === 0) return bodies.toSorted()
    bodies.push(...messages.map(({ Body = '' }) => Body))
  }
}

test('a list shows messages and leaves them where they are, visible for the next reader', async () => {
  const bodies = await fill(23)
  const letters = open()
  const listed = await letters.list({ limit: 15 })
  assert.is(listed.length, 15)
  assert.is(new Set(listed.map(({ id }) => id)).size, 15)
  assert.ok(listed.every(({ receivedCount, sentAtMs }) => receivedCount === 1 && sentAtMs > 0))
  assert.equal(await letters.count(), { visible: 23, hidden: 0 })
  const all = await letters.list({ limit: 100 })
  assert.equal(all.map(({ body }) => body).toSorted(), bodies.toSorted())
  assert.equal(await receiveAll(dead), bodies.toSorted())
})

test('a redrive moves all messages, with their attributes, and reports its progress', async () => {
  const bodies = await fill(45)
  await sqs.send(
    new SendMessageCommand({
      QueueUrl: dead,
      MessageBody: 'with attribute',
      MessageAttributes: { origin: { DataType: 'String', StringValue: 'test' } },
    }),
  )
  const progress: number[] = []
  const result = await open().redrive({ onProgress: (moved) => progress.push(moved) })
  assert.equal(result, { moved: 46 })
  assert.is(progress.at(-1), 46)
  assert.equal(
    progress,
    progress.toSorted((a, b) => a - b),
  )
  assert.equal(await receiveAll(dead), [])
  const { Attributes = {} } = await sqs.send(
    new GetQueueAttributesCommand({ QueueUrl: events, AttributeNames: ['ApproximateNumberOfMessages'] }),
  )
  assert.is(Attributes.ApproximateNumberOfMessages, '46')
  const received = []
  let withAttribute: string | undefined
  for (;;) {
    const { Messages: messages = [] } = await sqs.send(
      new ReceiveMessageCommand({
        QueueUrl: events,
        MaxNumberOfMessages: 10,
        MessageAttributeNames: ['All'],
      }),
    )
    if (messages.length === 0) break
    received.push(...messages.map(({ Body = '' }) => Body))
    withAttribute ??= messages.find(({ Body }) => Body === 'with attribute')?.MessageAttributes?.['origin']
      ?.StringValue
  }
  assert.equal(received.toSorted(), [...bodies, 'with attribute'].toSorted())
  assert.is(withAttribute, 'test')
})

test('a redrive moves at most as many messages as it may', async () => {
  await fill(30)
  assert.equal(await open().redrive({ limit: 17 }), { moved: 17 })
  assert.equal(await open().count(), { visible: 13, hidden: 0 })
  assert.equal(await open().redrive({ limit: 1 }), { moved: 1 })
})

test('two redrives at once move each message once', async () => {
  const bodies = await fill(60)
  const [one, other] = await Promise.all([open().redrive(), open().redrive()])
  assert.is(one.moved + other.moved, 60)
  assert.equal(await receiveAll(events), bodies.toSorted())
})

test('a redrive that is interrupted before it deletes loses no message: it is in both queues', async () => {
  const bodies = await fill(10)
  beforeRequest = (command) => {
    if (command === 'DeleteMessageBatchCommand') throw new Error('connection reset')
  }
  const thrown = await failureOf(open())
  assert.match(thrown, 'connection reset')
  beforeRequest = () => {}
  assert.equal(await receiveAll(events), bodies.toSorted())
  assert.equal(await open().count(), { visible: 0, hidden: 10 })
})

test('a redrive that cannot send deletes nothing', async () => {
  await fill(10)
  beforeRequest = (command) => {
    if (command === 'SendMessageBatchCommand') throw new Error('connection reset')
    assert.is.not(command, 'DeleteMessageBatchCommand')
  }
  const thrown = await failureOf(open())
  assert.match(thrown, 'connection reset')
  assert.equal(await open().count(), { visible: 10, hidden: 0 })
})

test('of a group that SQS accepts in part, the rest stays visible', async () => {
  const bodies = await fill(10)
  const refuse = new Set(['message 3', 'message 7'])
  const partly = new SQSClient({ endpoint: server.endpoint, ...identity, maxAttempts: 1 })
  partly.middlewareStack.add(
    (next) => async (args) => {
      const { input } = args
      if (!isBatch(input)) return next(args)
      const refused = input.Entries.filter(({ MessageBody }) => refuse.has(MessageBody))
      const accepted = input.Entries.filter(({ MessageBody }) => !refuse.has(MessageBody))
      // SQS would not accept an empty batch.
      if (accepted.length === 0) throw new Error('connection reset')
      const response = await next({ ...args, input: { ...input, Entries: accepted } })
      Object.assign(response.output, {
        Failed: refused.map(({ Id }) => ({ Id, Code: 'InternalError', SenderFault: false })),
      })
      return response
    },
    { step: 'initialize' },
  )
  const letters = createDeadLetters({ sqs: partly, deadLetterQueueUrl: dead, eventsQueueUrl: events })
  const thrown = await failureOf(letters)
  assert.match(thrown, 'SQS did not accept 2 messages: InternalError.')
  assert.equal(
    await receiveAll(events),
    bodies.filter((body) => !refuse.has(body)),
  )
  assert.equal(await receiveAll(dead), [...refuse])
  partly.destroy()
})

test('a redrive that is stopped ends after the messages that it moves', async () => {
  await fill(60)
  const stopping = new AbortController()
  const { moved } = await open().redrive({ signal: stopping.signal, onProgress: () => stopping.abort() })
  assert.ok(moved >= 10 && moved < 60, String(moved))
  const { visible, hidden } = await open().count()
  assert.equal([visible + hidden, hidden], [60 - moved, 0])
})

function isBatch(input: object): input is { Entries: { Id: string; MessageBody: string }[] } {
  return (
    'Entries' in input &&
    Array.isArray(input.Entries) &&
    input.Entries.some((entry: object) => 'MessageBody' in entry)
  )
}

test.run()
