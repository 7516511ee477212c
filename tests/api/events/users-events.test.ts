import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Announced } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { type EventStream, openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite("events of all of a tenant's users")
const shop = newApiKey('shop', ['uploads:read', 'uploads:write', 'act-as', 'tenant'])
const blog = newApiKey('blog', ['uploads:read', 'uploads:write', 'act-as', 'tenant'])
const plain = newApiKey('shop', ['uploads:read', 'uploads:write', 'act-as'])
const file = { filename: 'a.txt', contentType: 'text/plain', size: 7 }
const view = Compile(UploadView)
const erased = Compile(Type.Object({ id: Type.String(), user: Type.Optional(Type.String()) }))
let api: ApiInstances

test.before(async () => {
  const entries = [shop, blog, plain].map(({ entry }) => entry).join(',')
  api = await startApiInstances({ count: 2, environment: { API_KEYS: entries } })
})
test.after(() => api.close())

const bearer = (key: string, user?: string) => ({
  headers: {
    authorization: `Bearer ${key}`,
    ...(user !== undefined && { 'millrace-user': encodeURIComponent(user) }),
  },
})

const announceAs = async (key: string, user?: string, base = api.url) =>
  bodyOf(await createHttpClient(base).post('/uploads', file, bearer(key, user)), Announced).id

const listen = (key: string, lastEventId?: string, base = api.url) =>
  openEventStream(new URL('/events?users=all', base), createHttpClient(base), lastEventId, key)

function change(user: string, id: string, state: Upload['state']) {
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  return records.update({ owner: userOwner('shop', user), id }, (current) => ({ ...current, state }))
}

async function nextUpload(stream: EventStream) {
  const event = await stream.next()
  if (event?.event !== 'upload') assert.unreachable(`the event is ${event?.event}`)
  const { id, user, state } = view.Parse(event?.data)
  return { seen: [id, user, state], id: event?.id }
}

test('one stream has the changes of all users of the tenant, by every instance, and no others', async () => {
  const streams = await Promise.all(api.urls.map((base) => listen(shop.key, undefined, base)))
  for (const stream of streams) assert.is((await stream.next())?.event, 'opened')
  await announceAs(shop.key)
  await announceAs(blog.key, 'ada')
  const ada = await announceAs(shop.key, 'ada/😀', api.urls[1])
  const bob = await announceAs(shop.key, 'bob')
  await change('ada/😀', ada, 'ready')
  await createHttpClient(api.url).request('DELETE', `/uploads/${bob}`, bearer(shop.key, 'bob'))
  for (const stream of streams) {
    assert.equal((await nextUpload(stream)).seen, [ada, 'ada/😀', 'awaiting'])
    assert.equal((await nextUpload(stream)).seen, [bob, 'bob', 'awaiting'])
    assert.equal((await nextUpload(stream)).seen, [ada, 'ada/😀', 'ready'])
    const last = await stream.next()
    assert.is(last?.event, 'erased')
    assert.equal(erased.Parse(last?.data), { id: bob, user: 'bob' })
    stream.close()
  }
})

test('a stream continues after its last event, also by another instance', async () => {
  const before = await listen(shop.key)
  await before.next()
  const first = await announceAs(shop.key, 'carl')
  const { id: position } = await nextUpload(before)
  before.close()
  const second = await announceAs(shop.key, 'cora')
  await change('carl', first, 'processing')
  const after = await listen(shop.key, position, api.urls[1])
  assert.equal((await nextUpload(after)).seen, [second, 'cora', 'awaiting'])
  assert.equal((await nextUpload(after)).seen, [first, 'carl', 'processing'])
  await change('cora', second, 'ready')
  assert.equal((await nextUpload(after)).seen, [second, 'cora', 'ready'])
  after.close()
})

test('a stream tells that changes may have been missed, and goes on', async () => {
  await announceAs(shop.key, 'dora')
  for (const position of ['1', '0', 'x', '99999999999999']) {
    const stream = await listen(shop.key, position)
    assert.is((await stream.next())?.event, 'missed', position)
    const id = await announceAs(shop.key, 'dora')
    assert.equal((await nextUpload(stream)).seen, [id, 'dora', 'awaiting'])
    stream.close()
  }
  const stream = await listen(shop.key)
  assert.is((await stream.next())?.event, 'opened')
  await api.redis.hset(`${api.prefix}:epoch`, 'runId', 'of the server before')
  assert.is((await stream.next())?.event, 'missed')
  stream.close()
})

test('Redis keeps a bounded number of changes of all users', async () => {
  const keys = await api.redis.keys(`${api.prefix}:{u-????????????????}:*`)
  assert.equal(keys.map((key) => key.split(':').at(-1)).toSorted(), [
    'recent',
    'recent',
    'sequence',
    'sequence',
  ])
  for (const key of keys) assert.ok((await api.redis.pttl(key)) > 0)
})

test('only the administrator of the tenant follows all users', async () => {
  const client = createHttpClient(api.url)
  for (const user of [undefined, 'ada']) {
    const response = await client.get('/events?users=all', bearer(plain.key, user))
    assert.is(bodyOf(response, Problem).code, 'forbidden')
  }
  assert.is(bodyOf(await client.get('/events?users=all'), Problem).code, 'unauthenticated')
  assert.is((await client.get('/events?users=some', bearer(shop.key))).status, 400)
})

test('a user that a key acts for follows its own uploads only', async () => {
  const headers = { ...bearer(plain.key, 'eve').headers }
  const connection = new AbortController()
  const response = await fetch(`${api.url}/events`, { headers, signal: connection.signal })
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  await announceAs(shop.key, 'adam')
  const id = await announceAs(shop.key, 'eve')
  let text = ''
  while (!text.includes(id)) text += (await reader?.read())?.value ?? ''
  assert.match(text, '"user":"eve"')
  assert.not.match(text, 'adam')
  connection.abort()
})

test.run()
