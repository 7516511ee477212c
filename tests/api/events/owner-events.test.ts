import { Problem } from '@millrace/api/requests/problem.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { announce, formOf } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('owner events')
const page = Compile(UploadPage)
const view = Compile(UploadView)
const erased = Compile(Type.Object({ id: Type.String() }))
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ count: 2 })
})
test.after(() => api.close())

const listen = (client: HttpClient, lastEventId?: string, base = api.url) =>
  openEventStream(new URL('/events', base), client, lastEventId)

async function announceUpload(client: HttpClient) {
  const announced = await announce(client, 7)
  const address = parseOriginalKey(formOf(announced).fields['key'] ?? '')
  if (!address) throw new Error('The form has no key of an original.')
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  return {
    id: announced.id,
    owner: address.owner,
    change: (state: Upload['state']) => records.update(address, (current) => ({ ...current, state })),
  }
}

test('/events sends a snapshot first, then every change of every upload, in order', async () => {
  const client = createHttpClient(api.url)
  const first = await announceUpload(client)
  const streams = await Promise.all(api.urls.map((base) => listen(client, undefined, base)))
  for (const stream of streams) {
    const snapshot = await stream.next()
    assert.is(snapshot?.event, 'snapshot')
    assert.equal(
      page.Parse(snapshot?.data).uploads.map(({ id }) => id),
      [first.id],
    )
  }
  const second = await announceUpload(client)
  await first.change('processing')
  await second.change('received')
  await client.delete(`/uploads/${first.id}`)
  for (const stream of streams) {
    const changes: unknown[] = []
    for (let n = 0; n < 3; n++) {
      const event = await stream.next()
      const { id, state } = view.Parse(event?.data)
      changes.push([id, state])
    }
    assert.equal(changes, [
      [second.id, 'awaiting'],
      [first.id, 'processing'],
      [second.id, 'received'],
    ])
    const last = await stream.next()
    assert.is(last?.event, 'erased')
    assert.is(erased.Parse(last?.data).id, first.id)
    stream.close()
  }
})

test('/events resumes with the missed changes instead of a snapshot', async () => {
  const client = createHttpClient(api.url)
  const one = await announceUpload(client)
  const two = await announceUpload(client)
  const before = await listen(client)
  const snapshot = await before.next()
  before.close()
  await one.change('received')
  await one.change('processing')
  await client.delete(`/uploads/${two.id}`)
  const after = await listen(client, snapshot?.id, api.urls[1])
  const missed = [await after.next(), await after.next()]
  assert.equal(
    missed.map((event) => event?.event),
    ['upload', 'erased'],
  )
  assert.is(view.Parse(missed[0]?.data).state, 'processing')
  await one.change('ready')
  assert.is(view.Parse((await after.next())?.data).state, 'ready')
  after.close()
})

test('/events sends a snapshot by S3 when Redis may have lost changes', async () => {
  const client = createHttpClient(api.url)
  const { id, owner, change } = await announceUpload(client)
  const stream = await listen(client)
  assert.is((await stream.next())?.event, 'snapshot')
  const processing = await change('processing')
  assert.is(view.Parse((await stream.next())?.data).state, 'processing')
  assert.ok(processing)
  // More than the snapshot lists.
  const newer = Array.from({ length: 60 }, () => newUploadId())
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  for (const newId of newer) await records.create({ ...processing.upload, id: newId, state: 'awaiting' })
  for (const newId of newer) assert.is(view.Parse((await stream.next())?.data).id, newId)
  // The end is among what a failover lost: S3 has it, and the record of before is there again.
  const { createdAt, intent } = processing.upload
  const results = { recipe: 'r', findings: {}, variants: [], createdAt, finishedAt: createdAt }
  const manifest = { version: 1 as const, id, owner, outcome: 'rejected' as const, intent, ...results }
  await createManifests(api).write({ ...manifest, arrival: { etag: 'gone', size: 7 } }, undefined)
  await api.redis.hset(`${api.prefix}:epoch`, 'runId', 'of the server before')
  const older = [view.Parse((await stream.next())?.data)]
  while (older.length < 11) older.push(view.Parse((await stream.next())?.data))
  assert.is(older.find((upload) => upload.id === id)?.state, 'rejected')
  const event = await stream.next()
  assert.is(event?.event, 'snapshot')
  assert.equal(
    page.Parse(event?.data).uploads.map((upload) => upload.id),
    newer.toReversed().slice(0, 50),
  )
  stream.close()
})

test('/events sends a snapshot if Redis does not know the position', async () => {
  const client = createHttpClient(api.url)
  const { id } = await announceUpload(client)
  for (const position of ['1', '99999999999999', 'x', '-1']) {
    const stream = await listen(client, position)
    assert.is((await stream.next())?.event, 'snapshot')
    stream.close()
  }
  const stream = await listen(client)
  const position = (await stream.next())?.id
  stream.close()
  await api.redis.del(...(await api.redis.keys(`${api.prefix}:*:sequence`)))
  await announceUpload(client)
  const again = await listen(client, position)
  const snapshot = await again.next()
  assert.is(snapshot?.event, 'snapshot')
  assert.ok(page.Parse(snapshot?.data).uploads.some((upload) => upload.id === id))
  again.close()
})

test('/events sends a snapshot, then changes, if the sequence starts again at a lower number', async () => {
  const client = createHttpClient(api.url)
  const { id, owner, change } = await announceUpload(client)
  const stream = await listen(client)
  const position = Number((await stream.next())?.id)

  // Redis lost the sequence, and the clock of the new server is an hour behind: the sequence continues below `position`.
  await api.redis.hset(`${api.prefix}:{${owner}}:sequence`, { last: position - 3_600_000 })
  await api.redis.publish(
    `${api.prefix}:changes:${owner}`,
    JSON.stringify({ sequence: position - 3_600_000, erased: id }),
  )
  const snapshot = await stream.next()
  assert.is(snapshot?.event, 'snapshot')
  assert.is(Number(snapshot?.id), position - 3_600_000)
  await change('received')
  assert.is(view.Parse((await stream.next())?.data).state, 'received')
  stream.close()
})

test("/events sends no other owner's uploads, and refuses anonymous requests", async () => {
  const client = createHttpClient(api.url)
  const stranger = createHttpClient(api.url)
  await announceUpload(client)
  await stranger.get('/session')
  const stream = await listen(stranger)
  assert.equal(page.Parse((await stream.next())?.data).uploads, [])
  await announceUpload(client)
  const own = await announceUpload(stranger)
  assert.is(view.Parse((await stream.next())?.data).id, own.id)
  stream.close()
  const anonymous = await createHttpClient(api.url).get('/events')
  assert.is(anonymous.status, 401)
  assert.is(bodyOf(anonymous, Problem).code, 'unauthenticated')
})

test('100 streams of /events share one Redis connection', async () => {
  const client = createHttpClient(api.url)
  await announceUpload(client)
  const before = Number(/connected_clients:(\d+)/.exec(await api.redis.info('clients'))?.[1])
  const streams = await Promise.all(Array.from({ length: 100 }, () => listen(client)))
  for (const stream of streams) await stream.next()
  const after = Number(/connected_clients:(\d+)/.exec(await api.redis.info('clients'))?.[1])
  assert.ok(after - before < 20, `${after - before} more connections`)
  const made = await announceUpload(client)
  for (const stream of streams) assert.is(view.Parse((await stream.next())?.data).id, made.id)
  for (const stream of streams) stream.close()
})

test('a change of a newer version does not end /events, and the uploads that can be read are sent', async () => {
  const client = createHttpClient(api.url)
  const first = await announceUpload(client)
  const second = await announceUpload(client)
  const stream = await listen(client)
  assert.is((await stream.next())?.event, 'snapshot')
  const channel = `${api.prefix}:changes:${first.owner}`
  const recordKey = (id: string) => `${api.prefix}:{${first.owner}}:upload:${id}`
  const future = JSON.stringify({ id: first.id, state: 'quarantined' })
  await api.redis.hset(recordKey(first.id), 'record', future)
  await api.redis.publish(channel, `{"sequence":${Date.now() + 1000},"revision":1,"upload":${future}}`)
  await api.redis.publish(channel, '{"moved":true}')
  await second.change('received')
  await second.change('processing')
  // The unreadable message makes the stream read what changed, so a change may be sent twice.
  let states: string[] = []
  while (!states.includes('processing')) {
    const event = await stream.next()
    assert.is(event?.event, 'upload')
    const upload = view.Parse(event?.data)
    assert.is(upload.id, second.id)
    states = [...states, upload.state]
  }
  stream.close()
})

test.run()
