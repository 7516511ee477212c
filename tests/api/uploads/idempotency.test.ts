import { randomUUID } from 'node:crypto'
import { Problem } from '@millrace/api/http/problem.ts'
import { createRespondOnce } from '@millrace/api/uploads/idempotency-key.ts'
import { Announced, UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('Idempotency-Key')
const MiB = 1024 ** 2
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ count: 2 })
})
test.after(() => api.close())

const photo = { filename: 'a.jpg', contentType: 'image/jpeg', size: 7, metadata: { a: '1', b: '2' } }

/** Creates a client with a session. Without a session, responses are not stored. */
async function createSessionClient(): Promise<HttpClient> {
  const client = createHttpClient(api.url)
  await client.get('/session')
  return client
}

function announce(client: HttpClient, key: string, body: unknown = photo, base = api.url) {
  return client.post('/uploads', body, { headers: { 'idempotency-key': key }, base })
}

async function uploadsOf(client: HttpClient) {
  return bodyOf(await client.get('/uploads'), UploadPage).uploads
}

test('a repeated request gets the first response, on any instance', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const first = await announce(client, key)
  assert.is(first.status, 201)
  const inOtherOrder = { metadata: { b: '2', a: '1' }, size: 7, contentType: 'image/jpeg', filename: 'a.jpg' }
  const again = await announce(client, key, inOtherOrder, api.urls[1])
  assert.is(again.status, 201)
  assert.equal(again.body, first.body)
  assert.is(again.headers.get('location'), first.headers.get('location'))
  assert.is((await uploadsOf(client)).length, 1)
})

test('the stored response of a large file is compressed and expires after a day', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const first = await announce(client, key, { ...photo, size: 1000 * MiB })
  const again = await announce(client, key, { ...photo, size: 1000 * MiB })
  assert.equal(again.body, first.body)
  const { transport } = bodyOf(again, Announced)
  assert.is(transport.kind === 'multipart' && transport.parts.length, 100)
  const [redisKey = ''] = await keysOf(client)
  const { length } = (await api.redis.hget(redisKey, 'answer')) ?? ''
  assert.ok(length > 0 && length < JSON.stringify(first.body).length / 3, String(length))
  const lifeMs = await api.redis.pttl(redisKey)
  assert.ok(lifeMs > 23 * 3_600_000 && lifeMs <= 24 * 3_600_000)
})

/** Returns the Redis keys of this client's idempotency keys. */
async function keysOf(client: HttpClient): Promise<string[]> {
  const [upload] = await uploadsOf(client)
  const [record] = await api.redis.keys(`${api.prefix}:*:upload:${upload?.id}`)
  return api.redis.keys(`${record?.split(':upload:')[0]}:idempotency:*`)
}

test('the Idempotency-Key of a different request is refused', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  await announce(client, key)
  const other = await announce(client, key, { ...photo, size: 8 })
  assert.is(other.status, 422)
  assert.is(bodyOf(other, Problem).code, 'idempotency_key_reused')
  assert.is((await uploadsOf(client)).length, 1)
})

test('two owners may use the same Idempotency-Key', async () => {
  const [one, two] = [await createSessionClient(), await createSessionClient()]
  const key = randomUUID()
  const first = bodyOf(await announce(one, key), Announced)
  const second = bodyOf(await announce(two, key, { ...photo, size: 8 }), Announced)
  assert.is.not(first.id, second.id)
})

test('concurrent requests with one Idempotency-Key create one upload', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const responses = await Promise.all(
    Array.from({ length: 20 }, (_, n) => announce(client, key, photo, api.urls[n % 2])),
  )
  const ids = new Set(
    responses.filter(({ status }) => status === 201).map((response) => bodyOf(response, Announced).id),
  )
  assert.is(ids.size, 1)
  for (const response of responses.filter(({ status }) => status !== 201)) {
    assert.is(response.status, 409)
    assert.is(bodyOf(response, Problem).code, 'idempotency_key_in_use')
  }
  assert.is((await uploadsOf(client)).length, 1)
  assert.equal(bodyOf(await announce(client, key), Announced).id, [...ids][0])
})

test('a failed request releases its Idempotency-Key', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  assert.is((await announce(client, key, { ...photo, preset: 'unknown' })).status, 400)
  assert.is((await announce(client, key, { ...photo, preset: 'unknown' })).status, 400)
  assert.is((await announce(client, key)).status, 201)
})

for (const [name, key] of [
  ['without characters', ''],
  ['of 256 characters', 'k'.repeat(256)],
  ['with a space', 'a b'],
  ['with a non-ASCII letter', '\u00e9'],
] as const) {
  test(`an Idempotency-Key ${name} is refused`, async () => {
    const response = await announce(await createSessionClient(), key)
    assert.is(response.status, 400)
    const problem = bodyOf(response, Problem)
    assert.is(problem.code, 'invalid_request')
    assert.is(problem.errors?.[0]?.field, 'idempotency-key')
  })
}

test('an Idempotency-Key of 255 characters is accepted, and a quoted one as in the draft', async () => {
  const client = await createSessionClient()
  assert.is((await announce(client, 'k'.repeat(255))).status, 201)
  assert.is((await announce(client, '"8e03978e-40d5-43dd-bc93-6894a57f9324"')).status, 201)
})

test('a client without a session gets one, and its Idempotency-Key applies from the second request on', async () => {
  const client = createHttpClient(api.url)
  const key = randomUUID()
  const first = bodyOf(await announce(client, key), Announced)
  const second = bodyOf(await announce(client, key), Announced)
  const third = bodyOf(await announce(client, key), Announced)
  assert.is.not(first.id, second.id)
  assert.is(second.id, third.id)
})

test('a direct upload with an Idempotency-Key is stored once', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const send = (body: string, query = '?filename=a.txt') =>
    client.request('POST', `/upload${query}`, {
      body,
      headers: { 'idempotency-key': key, 'content-type': 'text/plain' },
    })
  const first = await send('the file')
  assert.is(first.status, 201, JSON.stringify(first.body))
  assert.equal((await send('the file')).body, first.body)
  for (const other of [await send('a longer file'), await send('the file', '?filename=b.txt')]) {
    assert.is(other.status, 422)
    assert.is(bodyOf(other, Problem).code, 'idempotency_key_reused')
  }
  assert.is((await uploadsOf(client)).length, 1)
})

test('a form with another boundary counts as the same request', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const ids: string[] = []
  for (const boundary of ['aaaaaaaa', 'bbbbbbbb']) {
    const response = await client.request('POST', '/upload', {
      body: `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nthe file\r\n--${boundary}--\r\n`,
      headers: { 'idempotency-key': key, 'content-type': `multipart/form-data; boundary=${boundary}` },
    })
    ids.push(bodyOf(response, UploadView).id)
  }
  assert.is(new Set(ids).size, 1)
})

const Result = Compile(Type.Object({ run: Type.Integer() }))

test('a key stays locked while its request runs, and is released after its instance died', async () => {
  // Long enough that a busy machine renews it in time.
  const lockMs = 1_500
  const respondOnce = createRespondOnce({ redis: api.redis, prefix: api.prefix, lockMs })
  const request = { owner: 'crashing', key: randomUUID(), content: 1 }
  const { promise, resolve } = Promise.withResolvers<{ run: number }>()
  const slow = respondOnce(request, Result, () => promise)
  const [lock = ''] = await waitForKey(`${api.prefix}:{crashing}:idempotency:*`)
  // A renewal makes its remaining life longer.
  await until(async () => {
    const before = await api.redis.pttl(lock)
    const after = await api.redis.pttl(lock)
    return before > 0 && before <= lockMs && after > before
  })
  await respondOnce(request, Result, async () => ({ run: 2 })).then(
    () => assert.unreachable('the request ran twice'),
    (error) => assert.is(error.code, 'idempotency_key_in_use'),
  )
  resolve({ run: 1 })
  assert.equal(await slow, { run: 1 })
  assert.equal(await respondOnce(request, Result, async () => ({ run: 2 })), { run: 1 })

  // The state after an instance died: the key is locked, and no process renews it.
  const orphaned = { ...request, key: randomUUID() }
  await respondOnce(orphaned, Result, async () => ({ run: 3 }))
  const keys = await api.redis.keys(`${api.prefix}:{crashing}:idempotency:*`)
  const orphanedLock = keys.find((key) => key !== lock)
  if (!orphanedLock) throw new Error('The response was not stored.')
  await api.redis.hdel(orphanedLock, 'answer')
  await api.redis.hset(orphanedLock, 'holder', 'dead')
  await api.redis.pexpire(orphanedLock, 50)
  await until(async () => (await api.redis.exists(orphanedLock)) === 0)
  assert.equal(await respondOnce(orphaned, Result, async () => ({ run: 4 })), { run: 4 })
})

async function waitForKey(pattern: string): Promise<string[]> {
  let found: string[] = []
  await until(async () => {
    found = await api.redis.keys(pattern)
    return found.length > 0
  })
  return found
}

async function until(isMet: () => Promise<boolean>): Promise<void> {
  while (!(await isMet())) {}
}

test.run()
