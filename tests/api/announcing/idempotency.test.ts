import { randomUUID } from 'node:crypto'
import { DeleteObjectCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Announced, UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import type { Static } from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { formOf, multipartOf, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('Idempotency-Key')
const MiB = 1024 ** 2
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ count: 2 })
})
test.after(() => api.close())

const photo = { filename: 'a.jpg', contentType: 'image/jpeg', size: 7, metadata: { a: '1', b: '2' } }

/** Creates a client with a session. Without a session, keys are not stored. */
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

test('a repeated request gets the same upload with a form that is signed anew, on any instance', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const first = await announce(client, key)
  assert.is(first.status, 201)
  const inOtherOrder = { metadata: { b: '2', a: '1' }, size: 7, contentType: 'image/jpeg', filename: 'a.jpg' }
  const again = await announce(client, key, inOtherOrder, api.urls[1])
  assert.is(again.status, 201)
  const [one, other] = [bodyOf(first, Announced), bodyOf(again, Announced)]
  assert.equal([other.id, other.state, other.transport.kind], [one.id, 'awaiting', 'form'])
  assert.ok((other.expiresAt ?? '') >= (one.expiresAt ?? ''))
  assert.is(again.headers.get('location'), first.headers.get('location'))
  assert.is((await uploadsOf(client)).length, 1)
})

test('an Idempotency-Key takes some hundred bytes of Redis for a day, however many parts its file has', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const large = { ...photo, size: 1000 * MiB }
  const first = bodyOf(await announce(client, key, large), Announced)
  const again = bodyOf(await announce(client, key, large), Announced)
  assert.is(again.id, first.id)
  assert.is(multipartOf(again).parts.length, 100)
  assert.equal(s3IdOf(again), s3IdOf(first))
  const [redisKey = ''] = await keysOf(client)
  assert.equal(Object.keys(await api.redis.hgetall(redisKey)).sort(), ['fingerprint', 'id'])
  const bytes = (await api.redis.memory('USAGE', redisKey)) ?? 0
  assert.ok(bytes > 0 && bytes <= 400, `${bytes} bytes`)
  const lifeMs = await api.redis.pttl(redisKey)
  assert.ok(lifeMs > 23.9 * 3_600_000 && lifeMs <= 24 * 3_600_000)
  // The day begins with the first request: a repeated one does not make it longer.
  await api.redis.pexpire(redisKey, 3_600_000)
  await announce(client, key, large)
  assert.ok((await api.redis.pttl(redisKey)) <= 3_600_000)
})

/** Returns S3's id of an announced multipart upload. */
function s3IdOf(announced: Static<typeof Announced>): string | null {
  const [part] = multipartOf(announced).parts
  return new URL(part?.url ?? '').searchParams.get('uploadId')
}

test('a repeated request of a file that arrived gets the upload as it is now, without signed URLs', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const id = await sendFile(await announce(client, key))
  const again = await announce(client, key, photo, api.urls[1])
  assert.equal([again.status, again.body], [201, { id, state: 'received', transport: { kind: 'none' } }])
})

test('a refused request leaves nothing of its Idempotency-Key', async () => {
  const client = await createSessionClient()
  await announce(client, randomUUID())
  const before = await keysOf(client)
  const key = randomUUID()
  assert.is((await announce(client, key, { ...photo, preset: 'unknown' })).status, 400)
  const names = ['a', 'b', 'c', 'd']
  const tooLong = { ...photo, metadata: Object.fromEntries(names.map((name) => [name, 'ü'.repeat(256)])) }
  assert.is((await announce(client, key, tooLong)).status, 400)
  assert.equal(await keysOf(client), before)
  const locks = await api.redis.keys(`${before[0]?.split(':idempotency:')[0]}:idempotency-lock:*`)
  assert.equal(locks, [])
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
    assert.is(response.headers.get('retry-after'), '5')
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

/** Deletes all keys of this owner, as if Redis had been flushed. Its epoch is young, because its prefix is new. */
async function loseOwner(client: HttpClient): Promise<void> {
  const [key = ''] = await keysOf(client)
  const prefix = key.split(':idempotency:')[0]
  await api.redis.del(await api.redis.keys(`${prefix}:*`))
}

/** Sends the file of an announcement to S3. Returns the upload's id. */
async function sendFile(announced: HttpResponse): Promise<string> {
  const upload = bodyOf(announced, Announced)
  assert.is((await sendForm(formOf(upload), new TextEncoder().encode('7 bytes'))).status, 201)
  return upload.id
}

test('a file that is announced again has the same id and a later expiry', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const first = bodyOf(await announce(client, key), Announced)
  const again = await announce(client, key, photo, api.urls[1])
  const { id, state, expiresAt } = bodyOf(again, Announced)
  assert.equal([id, state], [first.id, 'awaiting'])
  assert.ok(Date.parse(expiresAt ?? '') > Date.parse(first.expiresAt ?? ''))
  assert.is(bodyOf(await client.get(`/uploads/${id}`), UploadView).expiresAt, expiresAt)
  assert.is((await uploadsOf(client)).length, 1)
  await sendFile(again)
})

test('a large file that is announced again has the same multipart upload', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const large = { ...photo, size: 20 * MiB }
  const first = bodyOf(await announce(client, key, large), Announced)
  assert.is(s3IdOf(bodyOf(await announce(client, key, large), Announced)), s3IdOf(first))
  await loseOwner(client)
  const found = bodyOf(await announce(client, key, large), Announced)
  assert.is(found.id, first.id)
  assert.is(s3IdOf(found), s3IdOf(first))
})

test('a file that is announced again although S3 has it needs no transport', async () => {
  for (const lose of [async () => undefined, loseOwner]) {
    const client = await createSessionClient()
    const key = randomUUID()
    const id = await sendFile(await announce(client, key))
    await lose(client)
    const again = await announce(client, key)
    assert.is(again.status, 201)
    assert.equal(again.body, { id, state: 'received', transport: { kind: 'none' } })
    assert.equal((await announce(client, key)).body, again.body)
    assert.is((await uploadsOf(client)).length, 1)
  }
})

test('a key that Redis lost finds a rejected upload, of which only the manifest is left', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const id = await sendFile(await announce(client, key))
  const [record] = await api.redis.keys(`${api.prefix}:*:upload:${id}`)
  const owner = /\{(.+)\}/.exec(record ?? '')?.[1] ?? ''
  const originals = createOriginals(api)
  const arrival = (await originals.find({ owner, id }))?.arrival
  if (!arrival) throw new Error('S3 does not have the file.')
  const now = new Date().toISOString()
  await createManifests(api).write(
    {
      version: 1,
      id,
      owner,
      outcome: 'rejected',
      intent: { ...photo, preset: 'default' },
      arrival,
      recipe: '1',
      findings: {},
      variants: [],
      error: { code: 'type_not_allowed', message: 'not allowed' },
      createdAt: now,
      finishedAt: now,
    },
    undefined,
  )
  await api.s3.send(new DeleteObjectCommand({ Bucket: api.bucket, Key: originalKey({ owner, id }) }))
  await loseOwner(client)
  assert.equal((await announce(client, key)).body, { id, state: 'rejected', transport: { kind: 'none' } })
})

test('the repeated request of an upload that was erased is refused', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const { id } = bodyOf(await announce(client, key), Announced)
  await client.delete(`/uploads/${id}`)
  const again = await announce(client, key)
  assert.is(again.status, 404)
  assert.is(bodyOf(again, Problem).code, 'upload_not_found')
})

test('a different request with the key of an upload that was begun is refused, and the right one is not', async () => {
  const client = await createSessionClient()
  const key = randomUUID()
  const { id } = bodyOf(await announce(client, key), Announced)
  assert.is((await announce(client, key, { ...photo, size: 8 })).status, 422)
  assert.is(bodyOf(await announce(client, key), Announced).id, id)
})

test('an Idempotency-Key keeps its id after a request that failed once its upload was begun', async () => {
  const client = await createSessionClient()
  const other = await announce(client, randomUUID())
  const key = randomUUID()
  const keysBefore = await keysOf(client)
  const ownerKey = keysBefore[0]?.split(':idempotency:')[0]
  await api.redis.rename(`${ownerKey}:uploads`, `${ownerKey}:kept`)
  // The record cannot be written completely.
  await api.redis.set(`${ownerKey}:uploads`, 'broken')
  assert.is((await announce(client, key)).status, 500)
  await api.redis.rename(`${ownerKey}:kept`, `${ownerKey}:uploads`)
  const [added = ''] = (await keysOf(client)).filter((redisKey) => !keysBefore.includes(redisKey))
  const id = await api.redis.hget(added, 'id')
  assert.is(bodyOf(await announce(client, key), Announced).id, id)
  assert.is.not(bodyOf(other, Announced).id, id)
})

test.run()
