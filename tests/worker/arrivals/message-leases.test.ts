import { DeleteMessageCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs'
import { type SqsServer, startSqsServer } from '@millrace/local/cloud/sqs-server.ts'
import type { UploadJobState } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Arrival, Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import {
  createHeldArrivals,
  type HandleKey,
  type UnfinishedUpload,
} from '@millrace/worker/arrivals/held-arrivals.ts'
import { createMessageLeases } from '@millrace/worker/arrivals/message-leases.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createScriptedSqs } from '../support/scripted-sqs.ts'

const test = suite('message leases')
const log = createLog({ level: 'silent', instance: 'test' })
const identity = { region: 'us-east-1', credentials: { accessKeyId: 'test', secretAccessKey: 'test' } }
const leaseMs = 60_000
const hourMs = 3_600_000
const arrival: Arrival = { etag: 'a', versionId: 'v1', size: 1 }
let server: SqsServer
let sqs: SQSClient
/** The number of entries in each request that renews or deletes. */
let requests: string[] = []
/** The number of next requests that fail. */
let failures = 0
let nowMs = 0
const now = () => nowMs

test.before.each(async () => {
  server = await startSqsServer(identity)
  sqs = new SQSClient({ endpoint: server.endpoint, ...identity, maxAttempts: 1 })
  requests = []
  failures = 0
  nowMs = 0
  sqs.middlewareStack.add(
    (next, { commandName = '' }) =>
      async (args) => {
        if ('Entries' in args.input && Array.isArray(args.input.Entries)) {
          requests.push(
            `${commandName.replace(/MessageVisibilityBatchCommand|MessageBatchCommand/, '')} ${args.input.Entries.length}`,
          )
          failures -= 1
          if (failures >= 0) throw Object.assign(new Error('connection reset'), { code: 'ECONNRESET' })
        }
        return next(args)
      },
    { step: 'initialize' },
  )
})
test.after.each(async () => {
  sqs.destroy()
  await server.close()
})

/** Receives new messages, and holds each for an upload. */
async function holdMessages(
  count: number,
  options: {
    handleKey?: HandleKey
    state?: () => UploadJobState
    record?: () => Partial<Upload>
    copyUntilMs?: number
    hasRoom?: (owner: string | undefined) => boolean
  } = {},
) {
  const { handleKey = async () => undefined, state = () => 'queued', record, copyUntilMs } = options
  const { hasRoom = () => true } = options
  const queueUrl = server.eventsQueueUrl
  const leases = createMessageLeases({ sqs, queueUrl, leaseMs, now })
  const address = { owner: 's-tester', id: newUploadId() }
  const upload: UnfinishedUpload = { address, arrival, copyUntilMs }
  const held = createHeldArrivals({
    leases,
    queue: { states: async (jobs) => jobs.map(state), hasRoom: async (owner) => hasRoom(owner) },
    records: {
      find: async () =>
        record && { upload: { ...uploadOf(address), ...record() }, revision: 1, isChecked: true },
    },
    handleKey,
    leaseMs,
    now,
    log,
  })
  for (let i = 0; i < count; i++) {
    await sqs.send(new SendMessageCommand({ QueueUrl: queueUrl, MessageBody: String(i) }))
  }
  const messages = []
  while (messages.length < count) {
    messages.push(...(await leases.receive({ limit: 100, signal: new AbortController().signal })))
  }
  for (const message of messages) held.hold(message, [{ key: 'k', upload }])
  return { held, messages, upload }
}

function uploadOf(address: { owner: string; id: string }): Upload {
  const intent = { filename: 'a', contentType: 'image/png', size: 1, preset: 'default' }
  const at = new Date(0).toISOString()
  return {
    ...address,
    state: 'received',
    intent,
    arrival,
    findings: {},
    variants: [],
    createdAt: at,
    updatedAt: at,
  }
}

test('leases are renewed ten at a time, each once a third of it is over', async () => {
  const { held } = await holdMessages(25)
  await held.renewLeases()
  nowMs = leaseMs / 3 - 1
  await held.renewLeases()
  assert.equal(requests, [])
  nowMs += 1
  await held.renewLeases()
  assert.equal(requests.toSorted(), ['Change 10', 'Change 10', 'Change 5'])
  await held.renewLeases()
  assert.is(requests.length, 3)
  assert.is(held.size(), 25)
})

test('a message whose receipt handle is not valid any more is let go, and others are renewed', async () => {
  const { held, messages } = await holdMessages(3)
  await sqs.send(
    new DeleteMessageCommand({ QueueUrl: server.eventsQueueUrl, ReceiptHandle: messages[1]?.receiptHandle }),
  )
  nowMs = leaseMs / 3
  await held.renewLeases()
  assert.is(held.size(), 2)
  nowMs *= 2
  await held.renewLeases()
  assert.equal(requests, ['Change 3', 'Change 2'])
})

test('a worker that stops renews no lease, so that others receive its messages when these end', async () => {
  const { held } = await holdMessages(1)
  held.start()
  nowMs = leaseMs / 2
  await held.stop()
  assert.equal([held.size(), requests], [1, []])
})

test('a lease is renewed again after SQS was unavailable', async () => {
  const { held } = await holdMessages(1)
  nowMs = leaseMs / 3
  failures = 1
  const error: unknown = await held.renewLeases().catch((thrown) => thrown)
  assert.match(String(error), 'connection reset')
  await held.renewLeases()
  assert.equal(requests, ['Change 1', 'Change 1'])
  assert.is(held.size(), 1)
})

test('a message is let go before the 12 hours of its receive are over', async () => {
  const { held } = await holdMessages(1)
  nowMs = 11 * hourMs - 1
  await held.renewLeases()
  assert.equal([held.size(), requests], [1, ['Change 1']])
  nowMs += 1
  await held.renewLeases()
  assert.equal([held.size(), requests], [0, ['Change 1']])
})

test('messages of finished uploads are deleted ten at a time, and again if SQS failed', async () => {
  const { held } = await holdMessages(12, { state: () => 'missing', record: () => ({ state: 'ready' }) })
  failures = 2
  await held.check().catch(() => {})
  assert.equal([held.size(), requests], [12, ['Delete 10', 'Delete 2']])
  await held.check()
  assert.equal([held.size(), requests.slice(2)], [0, ['Delete 10', 'Delete 2']])
})

test('a message that SQS could not delete is deleted at the next check', async () => {
  const { held } = await holdMessages(2, { state: () => 'missing', record: () => ({ state: 'ready' }) })
  // As SQS responds if one entry failed by its own fault.
  sqs.middlewareStack.add(
    (next) => async (args) => {
      if (requests.length > 0) return next(args)
      const response = await next(args)
      const failed = [{ Id: '1', SenderFault: false, Code: 'InternalError' }]
      return { ...response, output: { ...response.output, Failed: failed } }
    },
    { step: 'initialize', priority: 'high' },
  )
  await held.check()
  assert.is(held.size(), 1)
  await held.check()
  assert.equal([held.size(), requests], [0, ['Delete 2', 'Delete 1']])
})

test('an upload whose job is queued is neither looked up nor received again', async () => {
  let calls = 0
  const count = () => {
    calls += 1
    return {}
  }
  const { held } = await holdMessages(1, {
    record: count,
    handleKey: async () => {
      count()
      return undefined
    },
  })
  await held.check()
  assert.equal([calls, requests], [0, []])
})

test('a finished record of other bytes is no proof: the upload is received again', async () => {
  const received: unknown[] = []
  const { held, upload } = await holdMessages(1, {
    state: () => 'missing',
    record: () => ({ state: 'ready', arrival: { ...arrival, versionId: 'v0' } }),
    handleKey: async (key, { isRetry }) => {
      received.push([key, isRetry])
      return upload
    },
  })
  await held.check()
  assert.equal([received, requests, held.size()], [[['k', true]], [], 1])
})

test('an upload that stays unfinished without a job is received again after longer and longer times', async () => {
  let calls = 0
  const { held, upload } = await holdMessages(1, {
    state: () => 'missing',
    handleKey: async () => {
      calls += 1
      return upload
    },
  })
  const callsAt = async (ms: number) => {
    nowMs = ms
    await held.check()
    return calls
  }
  // The check period of 3 s, doubled.
  assert.equal([await callsAt(0), await callsAt(5_999), await callsAt(6_000)], [1, 1, 2])
  assert.equal([await callsAt(17_999), await callsAt(18_000)], [2, 3])
  for (let i = 0; i < 10; i++) await callsAt(nowMs + hourMs)
  const before = calls
  assert.equal([await callsAt(nowMs + 29_999), await callsAt(nowMs + 1)], [before, before + 1])
})

test('a copy is left to its region for a time, and received again after it', async () => {
  let calls = 0
  const options = {
    record: () => ({ state: 'received' as const }),
    handleKey: async () => {
      calls += 1
      return undefined
    },
  }
  const young = await holdMessages(1, { ...options, copyUntilMs: Date.now() + hourMs })
  await young.held.check()
  assert.equal([calls, young.held.size()], [0, 1])
  const old = await holdMessages(1, { ...options, copyUntilMs: Date.now() })
  await old.held.check()
  assert.equal([calls, old.held.size()], [1, 0])
})

test('an upload without a job waits while its owner has no room, at no cost, and is received again with room', async () => {
  let room: 'none' | 'for others' | 'for all' = 'for others'
  let lookups = 0
  let calls = 0
  const { held, upload } = await holdMessages(3, {
    state: () => {
      lookups += 1
      return 'missing'
    },
    hasRoom: (owner) => room === 'for all' || (room === 'for others' && owner !== 's-tester'),
    handleKey: async () => {
      calls += 1
      return upload
    },
  })
  assert.is(held.parkedSize(), 0)
  await held.check()
  assert.equal([held.parkedSize(), lookups, calls], [3, 3, 0])
  await held.check()
  room = 'none'
  await held.check()
  assert.equal([held.parkedSize(), lookups, calls], [3, 3, 0])
  room = 'for all'
  await held.check()
  assert.equal([held.parkedSize(), held.size(), lookups, calls], [0, 3, 6, 3])
})

test('a failed job is restarted although its owner has no room', async () => {
  let calls = 0
  const { held } = await holdMessages(1, {
    state: () => 'failed',
    hasRoom: () => false,
    handleKey: async () => {
      calls += 1
      return undefined
    },
  })
  await held.check()
  assert.equal([calls, held.size()], [1, 0])
})

test('a held message whose handling fails is let go, and one that an outage interrupts is not', async () => {
  const { held: failing } = await holdMessages(1, {
    state: () => 'missing',
    handleKey: () => Promise.reject(new TypeError('a fault of ours')),
  })
  await failing.check()
  assert.is(failing.size(), 0)
  const { held: interrupted } = await holdMessages(1, {
    state: () => 'missing',
    handleKey: () => Promise.reject(Object.assign(new Error('reset'), { code: 'ECONNRESET' })),
  })
  const error: unknown = await interrupted.check().catch((thrown) => thrown)
  assert.match(String(error), 'reset')
  assert.equal([interrupted.size(), requests], [1, []])
})

test('a received message is hidden for its lease, after a long poll of five seconds, and so is a renewed one', async () => {
  const scripted = createScriptedSqs()
  const open = (ms: number) =>
    createMessageLeases({ sqs: scripted.sqs, queueUrl: 'https://sqs.invalid/q', leaseMs: ms, now })
  const { signal } = new AbortController()
  scripted.send({ MessageId: 'm', ReceiptHandle: 'h', Body: '' })
  const messages = await open(leaseMs).receive({ limit: 100, signal })
  await open(leaseMs).renew(messages)
  scripted.send()
  await open(1_500).receive({ limit: 3, signal })
  const [received, renewed, short] = scripted.requests.map(({ input }) => input)
  assert.equal(
    [received?.['VisibilityTimeout'], received?.['WaitTimeSeconds'], received?.['MaxNumberOfMessages']],
    [60, 5, 10],
  )
  assert.equal(renewed?.['Entries'], [{ Id: '0', ReceiptHandle: 'h', VisibilityTimeout: 60 }])
  assert.equal([short?.['VisibilityTimeout'], short?.['MaxNumberOfMessages']], [2, 3])
  scripted.end()
})

test('a message is lost if SQS refuses its receipt handle, and stays held if SQS itself failed', async () => {
  const scripted = createScriptedSqs()
  const queueUrl = 'https://sqs.invalid/q'
  const leases = createMessageLeases({ sqs: scripted.sqs, queueUrl, leaseMs, now })
  scripted.send(...['a', 'b', 'c'].map((id) => ({ MessageId: id, ReceiptHandle: id, Body: '' })))
  const messages = await leases.receive({ limit: 10, signal: new AbortController().signal })
  scripted.answerWith(() => ({
    Failed: [
      { Id: '0', SenderFault: true, Code: 'ReceiptHandleIsInvalid' },
      { Id: '1', SenderFault: false, Code: 'InternalError' },
    ],
  }))
  nowMs = 7
  const lost = await leases.renew(messages)
  assert.equal(
    lost.map(({ id }) => id),
    ['a'],
  )
  assert.equal(
    messages.map(({ renewedAtMs }) => renewedAtMs),
    [0, 0, 7],
    'what was not renewed is due again',
  )
  const remaining = await leases.delete(messages)
  assert.equal(
    remaining.map(({ id }) => id),
    ['b'],
  )
  scripted.end()
})

test('a message of several uploads is deleted when the last of them is finished', async () => {
  const { held, messages, upload } = await holdMessages(1, {
    state: () => 'missing',
    handleKey: async (key) => (key === 'finished' || isLastDone ? undefined : upload),
  })
  let isLastDone = false
  const [message] = messages
  if (!message) throw new Error('There is no message.')
  held.hold(message, [
    { key: 'finished', upload },
    { key: 'other', upload },
  ])
  await held.check()
  assert.equal([held.size(), requests], [1, []])
  isLastDone = true
  nowMs = leaseMs
  await held.check()
  assert.equal([held.size(), requests], [0, ['Delete 1']])
})

test.run()
