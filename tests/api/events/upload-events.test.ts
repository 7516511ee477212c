import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { announce, formOf } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('upload events')
const uploadView = Compile(UploadView)
let api: ApiInstances
/** The lines that the instances log. */
const lines: string[] = []

test.before(async () => {
  const log = createLog({ level: 'info', instance: 'api' }, { write: (line) => void lines.push(line) })
  api = await startApiInstances({ count: 2, log })
})
test.after(() => api.close())

async function listen(client: HttpClient, id: string, options: { base?: string; lastEventId?: string } = {}) {
  const url = new URL(`/uploads/${id}/events`, options.base ?? api.url)
  const stream = await openEventStream(url, client, options.lastEventId)
  return {
    ...stream,
    async next() {
      const event = await stream.next()
      if (!event) return undefined
      assert.is(event.event, 'upload')
      return { id: event.id, upload: uploadView.Parse(event.data) }
    },
  }
}

async function announceUpload(instances = api) {
  const client = createHttpClient(instances.url)
  const announced = await announce(client, 7)
  const address = parseOriginalKey(formOf(announced).fields['key'] ?? '')
  if (!address) throw new Error('The form has no key of an original.')
  const records = createUploadRecords({ redis: instances.redis, prefix: instances.prefix })
  const change = (change: Partial<Upload>) =>
    records.update(address, (current) => ({ ...current, ...change }))
  return { client, id: announced.id, address, records, change }
}

test('an event stream of any instance sends the current state, then each change in order, then ends', async () => {
  const { client, id, change } = await announceUpload()
  const streams = await Promise.all(api.urls.map((base) => listen(client, id, { base })))
  for (const stream of streams) {
    assert.is(stream.response.headers.get('content-type'), 'text/event-stream')
    assert.is((await stream.next())?.upload.state, 'awaiting')
  }
  for (const state of ['received', 'processing', 'ready'] as const) await change({ state })
  for (const stream of streams) {
    const states = [await stream.next(), await stream.next(), await stream.next()]
    assert.equal(
      states.map((event) => event?.upload.state),
      ['received', 'processing', 'ready'],
    )
    assert.is(await stream.next(), undefined)
  }
})

test('an event stream resumes after Last-Event-ID', async () => {
  const { client, id, change } = await announceUpload()
  const first = await listen(client, id)
  const lastEvent = await first.next()
  first.close()
  const second = await listen(client, id, { lastEventId: lastEvent?.id ?? '' })
  await change({ state: 'received' })
  assert.is((await second.next())?.upload.state, 'received')
  await change({ state: 'processing' })
  const missed = await listen(client, id, { lastEventId: lastEvent?.id ?? '' })
  assert.is((await missed.next())?.upload.state, 'processing')
  second.close()
  missed.close()
})

test('a client that has received the last event gets 204', async () => {
  const { client, id, change } = await announceUpload()
  await change({ state: 'rejected', error: { code: 'image_corrupt', message: 'Broken.' } })
  const stream = await listen(client, id)
  const end = await stream.next()
  assert.equal(end?.upload.error, { code: 'image_corrupt', message: 'Broken.' })
  assert.is(await stream.next(), undefined)
  const again = await listen(client, id, { lastEventId: end?.id ?? '' })
  assert.is(again.response.status, 204)
})

test('an event stream misses no change when its Redis connection is lost', async () => {
  const { client, id, change } = await announceUpload()
  const stream = await listen(client, id)
  assert.is((await stream.next())?.upload.state, 'awaiting')
  await api.cutSubscribers()
  await change({ state: 'processing' })
  assert.is((await stream.next())?.upload.state, 'processing')
  stream.close()
})

test('an event stream sends the end of an upload whose record is created again after Redis lost all data', async () => {
  // A server of this test's own, since the test deletes all its data.
  const directory = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  const redisServer = await startRedisServer({ directory })
  const instances = await startApiInstances({ redisUrl: redisServer.url })
  const { client, id, address, records, change } = await announceUpload(instances)
  await change({ state: 'received' })
  const before = await change({ state: 'processing' })
  const stream = await listen(client, id, { base: instances.url })
  assert.is((await stream.next())?.upload.state, 'processing')

  await instances.redis.flushall()
  assert.is(await records.find(address), undefined)
  assert.ok(before)
  const again = await records.create({ ...before.upload, state: 'ready' })
  assert.ok(again.revision > before.revision, `${again.revision} after ${before.revision}`)
  assert.is((await stream.next())?.upload.state, 'ready')
  assert.is(await stream.next(), undefined)

  await instances.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

test('an event stream sends the end that was published while Redis lost its data, by S3', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  const redisServer = await startRedisServer({ directory })
  const instances = await startApiInstances({ redisUrl: redisServer.url })
  const { client, id, address, records } = await announceUpload(instances)
  const stream = await listen(client, id, { base: instances.url })
  const found = await records.find(address)
  assert.is((await stream.next())?.upload.state, 'awaiting')

  // The worker's change is among what Redis loses.
  const { s3, bucket } = instances
  const manifests = createManifests({ s3, bucket })
  const arrival = { etag: 'gone', size: 7 }
  assert.ok(found)
  const { createdAt, intent } = found.upload
  const results = { recipe: 'r', findings: {}, variants: [], createdAt, finishedAt: createdAt }
  const outcome = 'rejected' as const
  await manifests.write({ version: 1, ...address, outcome, intent, arrival, ...results }, undefined)
  await instances.redis.flushall()
  assert.is((await stream.next())?.upload.state, 'rejected')
  assert.is(await stream.next(), undefined)

  await instances.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

test('an event stream sends the end of a record that an older version creates again with a low revision', async () => {
  const { client, id, address, change } = await announceUpload()
  const before = await change({ state: 'processing' })
  const stream = await listen(client, id)
  assert.is((await stream.next())?.upload.state, 'processing')

  // What an instance of an older version writes after Redis lost its data, or a server whose clock is behind.
  const record = JSON.stringify({ ...before?.upload, state: 'ready', updatedAt: new Date().toISOString() })
  const prefix = `${api.prefix}:{${address.owner}}`
  await api.redis.hset(`${prefix}:upload:${id}`, { revision: 1, record })
  await api.redis.publish(
    `${api.prefix}:changes:${address.owner}`,
    `{"sequence":1,"revision":1,"upload":${record}}`,
  )
  assert.is((await stream.next())?.upload.state, 'ready')
  assert.is(await stream.next(), undefined)
})

test('changes of a newer version neither end the process nor hide the end of an upload', async () => {
  const { client, id, address, change } = await announceUpload()
  const stream = await listen(client, id)
  assert.is((await stream.next())?.upload.state, 'awaiting')

  const publish = (text: string) => api.redis.publish(`${api.prefix}:changes:${address.owner}`, text)
  const { upload } = (await change({ state: 'processing' })) ?? {}
  assert.is((await stream.next())?.upload.state, 'processing')
  const future = JSON.stringify({ ...upload, state: 'quarantined' })
  const recordKey = `${api.prefix}:{${address.owner}}:upload:${id}`
  const record = (await api.redis.hget(recordKey, 'record')) ?? ''
  await api.redis.hset(recordKey, 'record', future)
  await publish(`{"sequence":${Date.now()},"revision":${Date.now()},"upload":${future}}`)
  for (const text of ['not JSON', '{}', '[]', 'null', '{"sequence":"x","moved":"y"}']) await publish(text)
  // The newer version finishes the upload in a form that this version knows.
  await api.redis.hset(recordKey, 'record', record)
  await change({ state: 'ready' })

  // Nothing in between: the bytes have not arrived in S3, which could tell another state.
  assert.is((await stream.next())?.upload.state, 'ready')
  assert.is(await stream.next(), undefined)
  assert.is(lines.filter((line) => line.includes('"event":"change-unreadable"')).length, 1)
})

test('an event stream sends the end that only the manifest tells in a known form', async () => {
  const { client, id, address, change } = await announceUpload()
  const stream = await listen(client, id)
  assert.is((await stream.next())?.upload.state, 'awaiting')
  const { upload } = (await change({ state: 'processing' })) ?? {}
  assert.is((await stream.next())?.upload.state, 'processing')
  if (!upload) throw new Error('The upload has no record.')
  const { intent, createdAt } = upload
  const manifest = {
    version: 1 as const,
    ...address,
    outcome: 'ready' as const,
    ...{ intent, createdAt, finishedAt: createdAt, recipe: 'recipe', findings: {}, variants: [] },
    arrival: { etag: 'x', size: 7 },
  }
  assert.ok(await createManifests(api).write(manifest, undefined))
  const future = JSON.stringify({ ...upload, state: 'published' })
  await api.redis.hset(`${api.prefix}:{${address.owner}}:upload:${id}`, 'record', future)
  await api.redis.publish(`${api.prefix}:changes:${address.owner}`, `{"sequence":1,"upload":${future}}`)
  assert.is((await stream.next())?.upload.state, 'ready')
  assert.is(await stream.next(), undefined)
})

test('an event stream ends when the instance closes', async () => {
  const closing = await startApiInstances()
  const client = createHttpClient(closing.url)
  const { id } = await announce(client, 7)
  const stream = await listen(client, id, { base: closing.url })
  await stream.next()
  await closing.close()
  assert.is(await stream.next(), undefined)
})

test('the Redis subscription ends when all clients have disconnected', async () => {
  const { client, id, change } = await announceUpload()
  const streams = await Promise.all([listen(client, id), listen(client, id)])
  for (const stream of streams) await stream.next()
  const channels = async () => (await api.redis.pubsub('CHANNELS', `${api.prefix}:changes:*`)).length
  assert.is(await channels(), 1)
  for (const stream of streams) stream.close()
  // The instance notices the disconnection later. Until then, each change still finds the subscription.
  while ((await channels()) > 0) await change({})
})

test.run()
