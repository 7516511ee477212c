import { createHash } from 'node:crypto'
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Announced, UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { announce, formOf, readUpload, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('upload by form')
const MiB = 1024 ** 2
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ environment: { MAX_UPLOAD_BYTES: String(1000 * MiB) } })
})
test.after(() => api.close())

/**
 * Returns bucket and key of an upload's original. The owner is read from Redis, since responses do not
 * contain it.
 */
async function originalOf(id: string) {
  const [key] = await api.redis.keys(`${api.prefix}:*:upload:${id}`)
  const owner = /\{(.+)\}/.exec(key ?? '')?.[1] ?? ''
  return { Bucket: api.bucket, Key: originalKey({ owner, id }) }
}

test('POST /uploads returns a form that S3 accepts', async () => {
  const client = createHttpClient(api.url)
  const bytes = new TextEncoder().encode('a photo')
  const announced = await announce(client, bytes.length, { filename: 'Ärger & "Spaß" 😀.jpg' })
  assert.is(announced.state, 'awaiting')
  assert.ok(Date.parse(announced.expiresAt ?? '') > Date.now())
  const response = await sendForm(formOf(announced), bytes)
  assert.is(response.status, 201)
  const original = await originalOf(announced.id)
  const stored = await api.s3.send(new GetObjectCommand(original))
  assert.equal(await stored.Body?.transformToByteArray(), bytes)
  assert.is(stored.ContentType, 'image/jpeg')
  assert.is(decodeURIComponent(stored.Metadata?.['filename'] ?? ''), 'Ärger & "Spaß" 😀.jpg')
  assert.is(stored.Metadata?.['preset'], 'default')
  const upload = await readUpload(client, announced.id)
  assert.is(upload.filename, 'Ärger & "Spaß" 😀.jpg')
  assert.equal(upload.variants, [])
})

test('S3 refuses bytes that do not have the announced SHA-256', async () => {
  const client = createHttpClient(api.url)
  const bytes = new TextEncoder().encode('these bytes')
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const announced = await announce(client, bytes.length, { sha256 })
  const refused = await sendForm(formOf(announced), new TextEncoder().encode('other bytes'))
  assert.is(refused.status, 400)
  assert.match(await refused.text(), /<Code>BadDigest<\/Code>/)
  assert.is((await sendForm(formOf(announced), bytes)).status, 201)
})

for (const [name, status, code, attempt] of [
  ['a larger file', 400, 'EntityTooLarge', { bytes: 8, change: {} }],
  ['a smaller file', 400, 'EntityTooSmall', { bytes: 6, change: {} }],
  ['another type', 403, 'AccessDenied', { bytes: 7, change: { 'Content-Type': 'text/html' } }],
  ['another key', 403, 'AccessDenied', { bytes: 7, change: { key: 'originals/someone/else' } }],
  ['another filename', 403, 'AccessDenied', { bytes: 7, change: { 'x-amz-meta-filename': 'x' } }],
  ['another preset', 403, 'AccessDenied', { bytes: 7, change: { 'x-amz-meta-preset': 'x' } }],
  ['additional metadata', 403, 'AccessDenied', { bytes: 7, change: { 'x-amz-meta-more': 'x' } }],
  ['public access', 403, 'AccessDenied', { bytes: 7, change: { acl: 'public-read' } }],
] satisfies [string, number, string, { bytes: number; change: Record<string, string> }][]) {
  test(`S3 refuses a form that differs from the announcement: ${name}`, async () => {
    const announced = await announce(createHttpClient(api.url), 7)
    const response = await sendForm(formOf(announced), new Uint8Array(attempt.bytes), attempt.change)
    assert.is(response.status, status)
    assert.match(await response.text(), new RegExp(`<Code>${code}</Code>`))
    await api.s3.send(new HeadObjectCommand(await originalOf(announced.id))).then(
      () => assert.unreachable('S3 has stored the object'),
      (error) => assert.is(error.name, 'NotFound'),
    )
  })
}

for (const [name, change, status, code, field] of [
  ['a negative size', { size: -1 }, 400, 'invalid_request', 'size'],
  ['a fractional size', { size: 1.5 }, 400, 'invalid_request', 'size'],
  ['a size as text', { size: '7' }, 400, 'invalid_request', 'size'],
  ['no size', { size: undefined }, 400, 'invalid_request', 'size'],
  ['a size over the limit', { size: 1000 * MiB + 1 }, 413, 'upload_too_large', 'size'],
  ['no filename', { filename: undefined }, 400, 'invalid_request', 'filename'],
  ['an empty filename', { filename: '' }, 400, 'invalid_request', 'filename'],
  ['a line break in the filename', { filename: 'a\r\nb' }, 400, 'invalid_request', 'filename'],
  ['a type of 1,025 characters', { contentType: 'x'.repeat(1025) }, 400, 'invalid_request', 'contentType'],
  ['a filename of 256 characters', { filename: 'a'.repeat(256) }, 400, 'invalid_request', 'filename'],
  ['an unknown preset', { preset: 'unknown' }, 400, 'preset_unknown', 'preset'],
  ['a path as preset', { preset: '../x' }, 400, 'invalid_request', 'preset'],
  ['a short SHA-256', { sha256: 'abc' }, 400, 'invalid_request', 'sha256'],
  ['metadata that is not an object', { metadata: 'x' }, 400, 'invalid_request', 'metadata'],
  ['metadata with an invalid name', { metadata: { 'a b': 'x' } }, 400, 'invalid_request', 'metadata.a b'],
  ['metadata with a number as value', { metadata: { ab: 1 } }, 400, 'invalid_request', 'metadata.ab'],
  ["metadata over S3's limit", { metadata: longMetadata(20) }, 400, 'invalid_request', 'metadata'],
  ['an unknown field', { colour: 'red' }, 400, 'invalid_request', 'colour'],
] satisfies [string, Record<string, unknown>, number, string, string][]) {
  test(`POST /uploads refuses ${name} and names the field`, async () => {
    const body = { filename: 'a.jpg', contentType: 'image/jpeg', size: 7, ...change }
    const response = await createHttpClient(api.url).post('/uploads', body)
    assert.is(response.status, status)
    assert.match(response.headers.get('content-type') ?? '', /^application\/problem\+json/)
    const problem = bodyOf(response, Problem)
    assert.is(problem.code, code)
    assert.is(problem.status, status)
    assert.is(problem.errors?.[0]?.field, field)
    assert.is(problem.requestId, response.headers.get('x-request-id'))
    if (status === 413) assert.is(problem.limit, 1000 * MiB)
  })
}

function longMetadata(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`name${n}`, 'x'.repeat(200)]))
}

test('POST /uploads refuses a body that is not a JSON object, has another type, or is too large', async () => {
  const client = createHttpClient(api.url)
  const json = { 'content-type': 'application/json' }
  const responses = [
    await client.request('POST', '/uploads', { body: '{', headers: json }),
    await client.request('POST', '/uploads', { body: '', headers: json }),
    await client.request('POST', '/uploads', { body: 'null', headers: json }),
    await client.request('POST', '/uploads', { body: '[]', headers: json }),
    await client.request('POST', '/uploads'),
    await client.request('POST', '/uploads', { body: 'a=b', headers: { 'content-type': 'text/plain' } }),
    await client.request('POST', '/uploads', { body: `"${'x'.repeat(100_000)}"`, headers: json }),
  ]
  assert.equal(
    responses.map((response) => [response.status, bodyOf(response, Problem).code]),
    [
      [400, 'invalid_request'],
      [400, 'invalid_request'],
      [400, 'invalid_request'],
      [400, 'invalid_request'],
      [400, 'invalid_request'],
      [415, 'unsupported_media_type'],
      [413, 'body_too_large'],
    ],
  )
})

test("routes of one upload return 404 for an unknown id, an invalid id and another owner's id", async () => {
  const owner = createHttpClient(api.url)
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  const { id } = await announce(owner, 7)
  const paths = [id, '0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa', 'x', '%00', '..%2f..', 'a'.repeat(90)]
  for (const path of paths) {
    const suffixes = ['', '/events', '/parts', '/original', '/variants/w320']
    for (const suffix of suffixes) {
      const response = await stranger.get(`/uploads/${path}${suffix}`)
      assert.is(response.status, 404, `${path}${suffix}`)
      assert.is(bodyOf(response, Problem).code, 'upload_not_found')
    }
  }
  assert.is((await createHttpClient(api.url).get(`/uploads/${id}`)).status, 404)
  assert.is((await owner.get(`/uploads/${id}`)).status, 200)
})

test("GET /uploads lists only the owner's uploads, newest first, in pages", async () => {
  const client = createHttpClient(api.url)
  await announce(createHttpClient(api.url), 7)
  const ids: string[] = []
  for (let n = 0; n < 5; n++) ids.unshift((await announce(client, 7)).id)
  const listedIds: string[] = []
  let cursor: string | undefined
  do {
    const page = bodyOf(await client.get(`/uploads?limit=2${cursor ? `&cursor=${cursor}` : ''}`), UploadPage)
    assert.ok(page.uploads.length <= 2)
    listedIds.push(...page.uploads.map(({ id }) => id))
    cursor = page.nextCursor
  } while (cursor)
  assert.equal(listedIds, ids)
  assert.is((await client.get('/uploads?limit=0')).status, 400)
  assert.is((await client.get('/uploads?limit=many')).status, 400)
  assert.is((await client.get('/uploads?cursor=x')).status, 400)
})

test('GET /uploads of a client without a session returns an empty list and sets no cookie', async () => {
  const response = await createHttpClient(api.url).get('/uploads')
  assert.equal(bodyOf(response, UploadPage), { uploads: [] })
  assert.equal(response.headers.getSetCookie(), [])
})

test('concurrent announcements of one session create one upload each', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  const all = await Promise.all(Array.from({ length: 20 }, () => announce(client, 7)))
  assert.is(new Set(all.map(({ id }) => id)).size, 20)
  assert.is(bodyOf(await client.get('/uploads'), UploadPage).uploads.length, 20)
})

test('an upload that Redis has lost is found in S3', async () => {
  const client = createHttpClient(api.url)
  const announced = await announce(client, 7, { filename: 'kept.jpg', metadata: { album: 'Öl & Wasser' } })
  await sendForm(formOf(announced), new Uint8Array(7))
  const before = await readUpload(client, announced.id)
  await api.redis.del(...(await api.redis.keys(`${api.prefix}:*`)))
  const after = await readUpload(client, announced.id)
  assert.is(after.state, 'received')
  assert.is(after.filename, 'kept.jpg')
  assert.equal(after.metadata, { album: 'Öl & Wasser' })
  assert.is(after.createdAt, before.createdAt)
  await api.redis.del(...(await api.redis.keys(`${api.prefix}:*`)))
  const listed = bodyOf(await client.get('/uploads'), UploadPage).uploads
  assert.equal(
    listed.map(({ id }) => id),
    [announced.id],
  )
})

test('the 404 of an unknown route does not contain its path', async () => {
  const response = await createHttpClient(api.url).get('/no/such/%3Cscript%3E')
  assert.is(response.status, 404)
  const problem = bodyOf(response, Problem)
  assert.is(problem.code, 'not_found')
  assert.not.match(JSON.stringify(problem), /script/)
})

test('the response to an announcement matches its schema and has a Location', async () => {
  const response = await createHttpClient(api.url).post('/uploads', {
    filename: 'a',
    contentType: 'a/b',
    size: 1,
  })
  assert.is(response.status, 201)
  assert.is(response.headers.get('location'), `/uploads/${bodyOf(response, Announced).id}`)
})

test.run()
