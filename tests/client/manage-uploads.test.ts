import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { ApiProblem, createClient, type Fetch, type Upload } from '@millrace/client'
import * as assert from 'uvu/assert'
import { followEvents } from '../../packages/client/src/following/follow-events.ts'
import { type ApiInstances, startApiInstances } from '../support/api-instances.ts'
import { suite } from '../support/suite.ts'

const test = suite('managing and watching uploads')
const { key, entry } = newApiKey('acme', ['act-as', 'tenant', 'uploads:read', 'uploads:write'])
let api: ApiInstances
let users = 0

test.before(async () => {
  api = await startApiInstances({ environment: { API_KEYS: entry, ANONYMOUS_UPLOADS: 'off' } })
})
test.after(() => api.close())

/** A client of a user of its own. `change` can replace how requests are sent. */
function userClient(change: Fetch = (request) => fetch(request)) {
  users += 1
  const user = `user-${users}`
  return { user, ...createClient({ origin: api.url, apiKey: key, user, fetch: change }) }
}

const send = (client: { upload: (file: Blob, options: object) => Promise<Upload> }, filename: string) =>
  client.upload(new Blob([filename]), { filename, metadata: { album: filename } })

async function all<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const list: Item[] = []
  for await (const item of items) list.push(item)
  return list
}

/** Collects what a watch tells, and lets a test wait for it. */
function collect() {
  const seen: string[] = []
  let waiting = Promise.withResolvers<void>()
  return {
    seen,
    add(text: string) {
      seen.push(text)
      waiting.resolve()
    },
    async until(text: string) {
      while (!seen.includes(text)) {
        waiting = Promise.withResolvers()
        await waiting.promise
      }
    },
  }
}

test('list iterates over all pages and sends its filter with each; listPage returns one of them', async () => {
  const queries: URLSearchParams[] = []
  const client = userClient((request) => {
    const url = new URL(request.url)
    if (request.method !== 'GET' || url.pathname !== '/uploads') return fetch(request)
    queries.push(new URLSearchParams(url.searchParams))
    url.searchParams.set('limit', '2')
    return fetch(new Request(url, request))
  })
  const names = ['a', 'b', 'c', 'd', 'e']
  for (const name of names) await send(client, name)
  queries.length = 0
  const listed: string[] = []
  for await (const { filename } of client.list({ order: 'oldest' })) listed.push(filename)
  assert.equal(listed, names)
  assert.equal(
    queries.map((query) => [query.get('order'), query.has('cursor'), query.get('limit')]),
    [
      ['oldest', false, '200'],
      ['oldest', true, '200'],
      ['oldest', true, '200'],
    ],
  )
  const filtered = client.list({ state: ['received', 'awaiting'], metadata: { album: 'b' }, prefix: 'b' })
  const found = (await all(filtered)).map(({ filename }) => filename)
  assert.equal([found, queries.at(-1)?.get('metadata[album]')], [['b'], 'b'])
  const page = await client.listPage()
  assert.is(page.uploads.length, 2)
  const next = await client.listPage({ ...(page.nextCursor && { cursor: page.nextCursor }) })
  assert.equal(
    [...page.uploads, ...next.uploads].map(({ filename }) => filename),
    ['e', 'd', 'c', 'b'],
  )
})

test('a loop over list can be left, and its signal ends it', async () => {
  const client = userClient()
  for (const name of ['a', 'b']) await send(client, name)
  for await (const { filename } of client.list()) {
    assert.is(filename, 'b')
    break
  }
  const reason = new Error('enough')
  const ended = client.list({}, { signal: AbortSignal.abort(reason) }).next()
  assert.is(await ended.catch((error: unknown) => error), reason)
})

test('get, edit and erase an upload; erasing it again is no error', async () => {
  const client = userClient()
  const { id } = await send(client, 'harbour.jpg')
  assert.equal([(await client.get(id)).filename, (await client.get(id)).user], ['harbour.jpg', client.user])
  const edited = await client.edit(id, { filename: 'sea.jpg', metadata: { album: null, year: '2026' } })
  assert.equal([edited.filename, edited.metadata], ['sea.jpg', { year: '2026' }])
  const receipt = await client.erase(id)
  assert.equal([receipt.id, receipt.erased[0]?.versions], [id, 1])
  assert.is((await client.erase(id)).id, id)
  const error = await client.get(id).catch((thrown: unknown) => thrown)
  assert.ok(error instanceof ApiProblem && error.code === 'upload_not_found')
  const refused = await client.reprocess(id).catch((thrown: unknown) => thrown)
  assert.ok(refused instanceof ApiProblem && refused.code === 'upload_not_found')
})

test('reprocess sends the preset, and is not repeated when its response is lost', async () => {
  const bodies: string[] = []
  const client = userClient(async (request) => {
    bodies.push(await request.text())
    throw new TypeError('fetch failed')
  })
  const lost = await client.reprocess('an-id', { preset: 'avatar' }).catch(String)
  assert.equal([lost, bodies], ['TypeError: fetch failed', ['{"preset":"avatar"}']])
})

test('watch begins with a snapshot, and then tells of changes and erasures until its signal aborts', async () => {
  const client = userClient()
  const { id } = await send(client, 'first')
  const { seen, add, until } = collect()
  const controller = new AbortController()
  const watching = client.watch({
    signal: controller.signal,
    onSnapshot: (uploads, nextCursor) =>
      add(`snapshot ${uploads.map(({ filename }) => filename)} ${nextCursor}`),
    onChange: ({ filename }) => add(filename),
    onErased: (erased) => add(`erased ${erased.id}`),
  })
  await until('snapshot first undefined')
  await send(client, 'second')
  await until('second')
  await client.erase(id)
  await until(`erased ${id}`)
  controller.abort()
  await watching
  // A change can be told twice.
  assert.equal([...new Set(seen)], ['snapshot first undefined', 'second', `erased ${id}`])
})

test('watch reconnects with the id of its last event, and misses nothing', async () => {
  const lastEventIds: (string | null)[] = []
  const cut = new AbortController()
  const client = userClient(async (request) => {
    if (!request.url.endsWith('/events')) return fetch(request)
    lastEventIds.push(request.headers.get('last-event-id'))
    const isFirst = lastEventIds.length === 1
    const signal = isFirst ? AbortSignal.any([request.signal, cut.signal]) : request.signal
    return fetch(new Request(request, { signal }))
  })
  // Without any change yet, there is no position from which the API could continue.
  await send(client, 'first')
  const { seen, add, until } = collect()
  const controller = new AbortController()
  const watching = client.watch({
    signal: controller.signal,
    onSnapshot: (uploads) => add(`snapshot of ${uploads.length}`),
    onChange: ({ filename }) => add(filename),
  })
  await until('snapshot of 1')
  cut.abort()
  await send(client, 'meanwhile')
  await until('meanwhile')
  controller.abort()
  await watching
  assert.equal([lastEventIds.length, lastEventIds[0], typeof lastEventIds[1]], [2, null, 'string'])
  assert.equal(
    seen.filter((each) => each.startsWith('snapshot')),
    ['snapshot of 1'],
  )
})

test('a tenant watches the uploads of all its users', async () => {
  const tenant = createClient({ origin: api.url, apiKey: key })
  const { add, until } = collect()
  const controller = new AbortController()
  const opened = Promise.withResolvers<void>()
  const watching = createClient({
    origin: api.url,
    apiKey: key,
    async fetch(request) {
      const response = await fetch(request)
      opened.resolve()
      return response
    },
  }).watch({
    users: 'all',
    signal: controller.signal,
    onChange: ({ filename, user }) => add(`${filename} of ${user}`),
    onErased: ({ id, user }) => add(`${id} of ${user}`),
  })
  await opened.promise
  const client = userClient()
  const { id } = await send(client, 'hello')
  await until(`hello of ${client.user}`)
  await client.erase(id)
  await until(`${id} of ${client.user}`)
  controller.abort()
  await watching
  assert.equal(await all(tenant.list()), [])
})

test('watch rejects with what a callback throws, and with a final error of the API', async () => {
  const client = userClient()
  const reason = new Error('no room')
  const onSnapshot = () => {
    throw reason
  }
  assert.is(await client.watch({ onSnapshot }).catch((error: unknown) => error), reason)
  const stranger = createClient({ origin: api.url, apiKey: 'unknown' })
  const refused = await stranger.watch({}).catch((error: unknown) => error)
  assert.ok(refused instanceof ApiProblem && refused.status === 401)
})

test('a stream without any bytes is given up and opened again after the last event', async () => {
  const opened: (string | undefined)[] = []
  const cancelled: unknown[] = []
  const encoder = new TextEncoder()
  const events = followEvents({
    signal: new AbortController().signal,
    idleTimeoutMs: 20,
    async open(lastEventId) {
      opened.push(lastEventId)
      if (opened.length === 3) return undefined
      return new ReadableStream({
        start(controller) {
          // In two chunks, within a letter.
          const bytes = encoder.encode(`retry: 1\n\nid: ${opened.length}\ndata: ü\n\ndata: no id\n\n`)
          controller.enqueue(bytes.slice(0, 22))
          controller.enqueue(bytes.slice(22))
        },
        cancel: () => {
          cancelled.push(lastEventId)
        },
      })
    },
  })
  const data = (await all(events)).map((event) => event.data)
  assert.equal(data, ['ü', 'no id', 'ü', 'no id'])
  assert.equal(opened, [undefined, '1', '2'])
  assert.equal(cancelled, [undefined, '1'])
})

test.run()
