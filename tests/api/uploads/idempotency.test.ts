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

/** A client that has a session, and so can have earlier answers. */
async function known(): Promise<HttpClient> {
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

test('gives the same request the same answer, on any instance', async () => {
  const client = await known()
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

test('keeps the many URLs of a large file in little space', async () => {
  const client = await known()
  const key = randomUUID()
  const first = await announce(client, key, { ...photo, size: 1000 * MiB })
  const again = await announce(client, key, { ...photo, size: 1000 * MiB })
  assert.equal(again.body, first.body)
  const { transport } = bodyOf(again, Announced)
  assert.is(transport.kind === 'multipart' && transport.parts.length, 100)
  const [kept = ''] = await keysOf(client)
  const answer = (await api.redis.hget(kept, 'answer')) ?? ''
  assert.ok(answer.length > 0 && answer.length < JSON.stringify(first.body).length / 3, String(answer.length))
  const lifeMs = await api.redis.pttl(kept)
  assert.ok(lifeMs > 23 * 3_600_000 && lifeMs <= 24 * 3_600_000)
})

/** What Redis keeps of this client's idempotency keys. */
async function keysOf(client: HttpClient): Promise<string[]> {
  const [upload] = await uploadsOf(client)
  const [record] = await api.redis.keys(`${api.prefix}:*:upload:${upload?.id}`)
  return api.redis.keys(`${record?.split(':upload:')[0]}:idempotency:*`)
}

test('refuses the key of another request', async () => {
  const client = await known()
  const key = randomUUID()
  await announce(client, key)
  const other = await announce(client, key, { ...photo, size: 8 })
  assert.is(other.status, 422)
  assert.is(bodyOf(other, Problem).code, 'idempotency_key_reused')
  assert.is((await uploadsOf(client)).length, 1)
})

test('keeps the keys of owners apart', async () => {
  const [one, two] = [await known(), await known()]
  const key = randomUUID()
  const first = bodyOf(await announce(one, key), Announced)
  const second = bodyOf(await announce(two, key, { ...photo, size: 8 }), Announced)
  assert.is.not(first.id, second.id)
})

test('makes one upload of many requests at once', async () => {
  const client = await known()
  const key = randomUUID()
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => announce(client, key, photo, api.urls[n % 2])),
  )
  const ids = new Set(
    answers.filter(({ status }) => status === 201).map((answer) => bodyOf(answer, Announced).id),
  )
  assert.is(ids.size, 1)
  for (const answer of answers.filter(({ status }) => status !== 201)) {
    assert.is(answer.status, 409)
    assert.is(bodyOf(answer, Problem).code, 'idempotency_key_in_use')
  }
  assert.is((await uploadsOf(client)).length, 1)
  assert.equal(bodyOf(await announce(client, key), Announced).id, [...ids][0])
})

test('releases the key of a request that failed', async () => {
  const client = await known()
  const key = randomUUID()
  assert.is((await announce(client, key, { ...photo, preset: 'nobody' })).status, 400)
  assert.is((await announce(client, key, { ...photo, preset: 'nobody' })).status, 400)
  assert.is((await announce(client, key)).status, 201)
})

for (const [name, key] of [
  ['empty', ''],
  ['of 256 characters', 'k'.repeat(256)],
  ['with a blank', 'a b'],
  ['with a letter outside ASCII', '\u00e9'],
] as const) {
  test(`refuses a key that is ${name}`, async () => {
    const answer = await announce(await known(), key)
    assert.is(answer.status, 400)
    const problem = bodyOf(answer, Problem)
    assert.is(problem.code, 'invalid_request')
    assert.is(problem.errors?.[0]?.field, 'idempotency-key')
  })
}

test('takes a key of 255 characters, and a quoted one as the draft writes it', async () => {
  const client = await known()
  assert.is((await announce(client, 'k'.repeat(255))).status, 201)
  assert.is((await announce(client, '"8e03978e-40d5-43dd-bc93-6894a57f9324"')).status, 201)
})

test('starts a session for who has none, and heeds the key from then on', async () => {
  const client = createHttpClient(api.url)
  const key = randomUUID()
  const first = bodyOf(await announce(client, key), Announced)
  const second = bodyOf(await announce(client, key), Announced)
  const third = bodyOf(await announce(client, key), Announced)
  assert.is.not(first.id, second.id)
  assert.is(second.id, third.id)
})

test('takes a file through the API once', async () => {
  const client = await known()
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

test('knows a form again whatever boundary it has', async () => {
  const client = await known()
  const key = randomUUID()
  const ids: string[] = []
  for (const boundary of ['aaaaaaaa', 'bbbbbbbb']) {
    const answer = await client.request('POST', '/upload', {
      body: `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nthe file\r\n--${boundary}--\r\n`,
      headers: { 'idempotency-key': key, 'content-type': `multipart/form-data; boundary=${boundary}` },
    })
    ids.push(bodyOf(answer, UploadView).id)
  }
  assert.is(new Set(ids).size, 1)
})

const Made = Compile(Type.Object({ made: Type.Integer() }))

test('frees the key of an instance that died in the middle, and holds that of one that only takes long', async () => {
  // Long enough that a busy machine renews it in time.
  const lockMs = 1_500
  const respondOnce = createRespondOnce({ redis: api.redis, prefix: api.prefix, lockMs })
  const request = { owner: 'crashing', key: randomUUID(), content: 1 }
  const { promise, resolve } = Promise.withResolvers<{ made: number }>()
  const slow = respondOnce(request, Made, () => promise)
  const [lock = ''] = await waitForKey(`${api.prefix}:{crashing}:idempotency:*`)
  // Renewed: its life goes up again.
  await until(async () => {
    const before = await api.redis.pttl(lock)
    const after = await api.redis.pttl(lock)
    return before > 0 && before <= lockMs && after > before
  })
  await respondOnce(request, Made, async () => ({ made: 2 })).then(
    () => assert.unreachable('it was made twice'),
    (error) => assert.is(error.code, 'idempotency_key_in_use'),
  )
  resolve({ made: 1 })
  assert.equal(await slow, { made: 1 })
  assert.equal(await respondOnce(request, Made, async () => ({ made: 2 })), { made: 1 })

  // As a dead instance leaves it: taken, and renewed by nobody.
  const dead = { ...request, key: randomUUID() }
  await respondOnce(dead, Made, async () => ({ made: 3 }))
  const left = (await api.redis.keys(`${api.prefix}:{crashing}:idempotency:*`)).find((key) => key !== lock)
  if (!left) throw new Error('Nothing was kept.')
  await api.redis.hdel(left, 'answer')
  await api.redis.hset(left, 'holder', 'dead')
  await api.redis.pexpire(left, 50)
  await until(async () => (await api.redis.exists(left)) === 0)
  assert.equal(await respondOnce(dead, Made, async () => ({ made: 4 })), { made: 4 })
})

async function waitForKey(pattern: string): Promise<string[]> {
  let found: string[] = []
  await until(async () => {
    found = await api.redis.keys(pattern)
    return found.length > 0
  })
  return found
}

async function until(fits: () => Promise<boolean>): Promise<void> {
  while (!(await fits())) {}
}

test.run()
