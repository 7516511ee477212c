import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import {
  createPublishProgress,
  ProgressMessage,
  progressChannel,
} from '@millrace/shared/uploads/upload-progress.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Redis } from 'ioredis'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('upload progress')
const progressMessage = Compile(ProgressMessage)
const owner = 'someone'
let redis: Redis
let subscriber: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
  subscriber = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => {
  redis.disconnect()
  subscriber.disconnect()
})

/** Creates a record that is being processed, and records the messages about its owner until `end`. */
async function startProcessing() {
  const records = createUploadRecords({ redis, prefix })
  const now = new Date().toISOString()
  const created: Upload = {
    id: newUploadId(),
    owner,
    state: 'processing',
    intent: { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' },
    findings: {},
    variants: [],
    createdAt: now,
    updatedAt: now,
  }
  const { revision } = await records.create(created)
  const channel = progressChannel(prefix, owner)
  const messages: string[] = []
  const ended = new AbortController()
  subscriber.on('message', (from, text) => {
    if (from === channel && text !== 'end') messages.push(text)
    if (text === 'end') ended.abort()
  })
  await subscriber.subscribe(channel)
  return {
    created,
    records,
    revision,
    async received(): Promise<ProgressMessage[]> {
      const end = once(ended.signal, 'abort')
      await redis.publish(channel, 'end')
      await end
      await subscriber.unsubscribe(channel)
      subscriber.removeAllListeners('message')
      return messages.map((text) => progressMessage.Parse(JSON.parse(text)))
    },
  }
}

test('progress is published with the revision of the record and the sequence of its last change', async () => {
  const { created, records, revision, received } = await startProcessing()
  const publish = createPublishProgress({ redis, prefix })
  publish(created, revision, { step: 'rendering', done: 3, total: 5 })
  assert.equal(await received(), [
    {
      sequence: await records.lastSequence(owner),
      revision,
      progress: { id: created.id, step: 'rendering', done: 3, total: 5 },
    },
  ])
})

test('progress changes nothing in Redis', async () => {
  const { created, revision, received } = await startProcessing()
  const contents = async () => {
    const keys = (await redis.keys(`${prefix}:*`)).sort()
    return Promise.all(keys.map(async (key) => [key, await redis.dumpBuffer(key)]))
  }
  const before = await contents()
  createPublishProgress({ redis, prefix })(created, revision, { step: 'inspecting' })
  assert.is((await received()).length, 1)
  assert.equal(await contents(), before)
})

test('no progress is published after the record changed, for example to its final state', async () => {
  const { created, records, revision, received } = await startProcessing()
  const publish = createPublishProgress({ redis, prefix })
  await records.update(created, (current) => ({ ...current, state: 'ready' }))
  publish(created, revision, { step: 'publishing' })
  assert.equal(await received(), [])
})

test('no progress is published of an erased upload', async () => {
  const { created, records, revision, received } = await startProcessing()
  await records.erase(created)
  createPublishProgress({ redis, prefix })(created, revision, { step: 'publishing' })
  assert.equal(await received(), [])
})

test('progress is dropped while Redis is away', async () => {
  const { created, revision } = await startProcessing()
  const closed = redis.duplicate({ lazyConnect: true })
  createPublishProgress({ redis: closed, prefix })(created, revision, { step: 'publishing' })
  assert.is(closed.status, 'wait', 'nothing waits for a connection')
  closed.disconnect()
})

test.run()
