import { createHash } from 'node:crypto'
import { GetObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/http/problem.ts'
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

/** The only original that S3 has of this upload: its owner is not told to clients. */
async function originalOf(id: string) {
  const [key] = await api.redis.keys(`${api.prefix}:*:upload:${id}`)
  const owner = /\{(.+)\}/.exec(key ?? '')?.[1] ?? ''
  return { Bucket: api.bucket, Key: originalKey({ owner, id }) }
}

test('hands out a form that S3 takes', async () => {
  const client = createHttpClient(api.url)
  const bytes = new TextEncoder().encode('a photo')
  const announced = await announce(client, bytes.length, { filename: 'Ärger & "Spaß" 😀.jpg' })
  assert.is(announced.state, 'awaiting')
  assert.ok(Date.parse(announced.expiresAt) > Date.now())
  const answer = await sendForm(formOf(announced), bytes)
  assert.is(answer.status, 201)
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

test('signs the announced SHA-256, so that S3 refuses other bytes', async () => {
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
  ['larger', 400, 'EntityTooLarge', { bytes: 8, change: {} }],
  ['smaller', 400, 'EntityTooSmall', { bytes: 6, change: {} }],
  ['of another type', 403, 'AccessDenied', { bytes: 7, change: { 'Content-Type': 'text/html' } }],
  ['under another key', 403, 'AccessDenied', { bytes: 7, change: { key: 'originals/someone/else' } }],
  ['under another name', 403, 'AccessDenied', { bytes: 7, change: { 'x-amz-meta-filename': 'x' } }],
  ['with another preset', 403, 'AccessDenied', { bytes: 7, change: { 'x-amz-meta-preset': 'x' } }],
  ['with more metadata', 403, 'AccessDenied', { bytes: 7, change: { 'x-amz-meta-more': 'x' } }],
  ['with public access', 403, 'AccessDenied', { bytes: 7, change: { acl: 'public-read' } }],
] satisfies [string, number, string, { bytes: number; change: Record<string, string> }][]) {
  test(`signs so that S3 itself refuses a file ${name} than announced`, async () => {
    const announced = await announce(createHttpClient(api.url), 7)
    const answer = await sendForm(formOf(announced), new Uint8Array(attempt.bytes), attempt.change)
    assert.is(answer.status, status)
    assert.match(await answer.text(), new RegExp(`<Code>${code}</Code>`))
    await api.s3.send(new HeadObjectCommand(await originalOf(announced.id))).then(
      () => assert.unreachable('the object is there'),
      (error) => assert.is(error.name, 'NotFound'),
    )
  })
}

for (const [name, change, status, code, field] of [
  ['size 0', { size: 0 }, 400, 'invalid_request', 'size'],
  ['a negative size', { size: -1 }, 400, 'invalid_request', 'size'],
  ['half a byte', { size: 1.5 }, 400, 'invalid_request', 'size'],
  ['a size as text', { size: '7' }, 400, 'invalid_request', 'size'],
  ['no size', { size: undefined }, 400, 'invalid_request', 'size'],
  ['a size over the limit', { size: 1000 * MiB + 1 }, 413, 'upload_too_large', 'size'],
  ['no filename', { filename: undefined }, 400, 'invalid_request', 'filename'],
  ['an empty filename', { filename: '' }, 400, 'invalid_request', 'filename'],
  ['a line break in the filename', { filename: 'a\r\nb' }, 400, 'invalid_request', 'filename'],
  ['a filename of 256 characters', { filename: 'a'.repeat(256) }, 400, 'invalid_request', 'filename'],
  ['no type', { contentType: undefined }, 400, 'invalid_request', 'contentType'],
  ['half a type', { contentType: 'image' }, 400, 'invalid_request', 'contentType'],
  ['a line break in the type', { contentType: 'image/png\r\nx: y' }, 400, 'invalid_request', 'contentType'],
  ['an unknown preset', { preset: 'nobody' }, 400, 'preset_unknown', 'preset'],
  ['a preset that leaves its folder', { preset: '../x' }, 400, 'invalid_request', 'preset'],
  ['a short SHA-256', { sha256: 'abc' }, 400, 'invalid_request', 'sha256'],
  ['metadata that is no object', { metadata: 'x' }, 400, 'invalid_request', 'metadata'],
  ['a note of a strange name', { metadata: { 'a b': 'x' } }, 400, 'invalid_request', 'metadata.a b'],
  ['a note that is no text', { metadata: { ab: 1 } }, 400, 'invalid_request', 'metadata.ab'],
  ['metadata that S3 would not keep', { metadata: manyNotes(20) }, 400, 'invalid_request', 'metadata'],
  ['a field that is not known', { colour: 'red' }, 400, 'invalid_request', 'colour'],
] satisfies [string, Record<string, unknown>, number, string, string][]) {
  test(`refuses ${name}, and names the field`, async () => {
    const body = { filename: 'a.jpg', contentType: 'image/jpeg', size: 7, ...change }
    const answer = await createHttpClient(api.url).post('/uploads', body)
    assert.is(answer.status, status)
    assert.match(answer.headers.get('content-type') ?? '', /^application\/problem\+json/)
    const problem = bodyOf(answer, Problem)
    assert.is(problem.code, code)
    assert.is(problem.status, status)
    assert.is(problem.errors?.[0]?.field, field)
    assert.is(problem.requestId, answer.headers.get('x-request-id'))
    if (status === 413) assert.is(problem.limit, 1000 * MiB)
  })
}

function manyNotes(count: number): Record<string, string> {
  return Object.fromEntries(Array.from({ length: count }, (_, n) => [`note${n}`, 'x'.repeat(200)]))
}

test('refuses bodies that are no JSON, none at all, of another kind, or too large', async () => {
  const client = createHttpClient(api.url)
  const json = { 'content-type': 'application/json' }
  const answers = [
    await client.request('POST', '/uploads', { body: '{', headers: json }),
    await client.request('POST', '/uploads', { body: '', headers: json }),
    await client.request('POST', '/uploads', { body: 'null', headers: json }),
    await client.request('POST', '/uploads', { body: '[]', headers: json }),
    await client.request('POST', '/uploads'),
    await client.request('POST', '/uploads', { body: 'a=b', headers: { 'content-type': 'text/plain' } }),
    await client.request('POST', '/uploads', { body: `"${'x'.repeat(100_000)}"`, headers: json }),
  ]
  assert.equal(
    answers.map((answer) => [answer.status, bodyOf(answer, Problem).code]),
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

test('answers 404 for an upload that is unknown, foreign, or no id at all', async () => {
  const owner = createHttpClient(api.url)
  const stranger = createHttpClient(api.url)
  await stranger.get('/session')
  const { id } = await announce(owner, 7)
  const paths = [id, '0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa', 'x', '%00', '..%2f..', 'a'.repeat(90)]
  for (const path of paths) {
    const suffixes = ['', '/events', '/parts', '/original', '/variants/w320']
    for (const suffix of suffixes) {
      const answer = await stranger.get(`/uploads/${path}${suffix}`)
      assert.is(answer.status, 404, `${path}${suffix}`)
      assert.is(bodyOf(answer, Problem).code, 'upload_not_found')
    }
  }
  assert.is((await createHttpClient(api.url).get(`/uploads/${id}`)).status, 404)
  assert.is((await owner.get(`/uploads/${id}`)).status, 200)
})

test('lists the own uploads only, newest first, in pages', async () => {
  const client = createHttpClient(api.url)
  await announce(createHttpClient(api.url), 7)
  const ids: string[] = []
  for (let n = 0; n < 5; n++) ids.unshift((await announce(client, 7)).id)
  const seen: string[] = []
  let cursor: string | undefined
  do {
    const page = bodyOf(await client.get(`/uploads?limit=2${cursor ? `&cursor=${cursor}` : ''}`), UploadPage)
    assert.ok(page.uploads.length <= 2)
    seen.push(...page.uploads.map(({ id }) => id))
    cursor = page.nextCursor
  } while (cursor)
  assert.equal(seen, ids)
  assert.is((await client.get('/uploads?limit=0')).status, 400)
  assert.is((await client.get('/uploads?limit=many')).status, 400)
  assert.is((await client.get('/uploads?cursor=x')).status, 400)
})

test('shows nobody an empty list', async () => {
  const answer = await createHttpClient(api.url).get('/uploads')
  assert.equal(bodyOf(answer, UploadPage), { uploads: [] })
  assert.equal(answer.headers.getSetCookie(), [])
})

test('hands out forms to several requests of one cookie at once', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  const all = await Promise.all(Array.from({ length: 20 }, () => announce(client, 7)))
  assert.is(new Set(all.map(({ id }) => id)).size, 20)
  assert.is(bodyOf(await client.get('/uploads'), UploadPage).uploads.length, 20)
})

test('finds an upload by S3 alone when Redis has lost it', async () => {
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

test('repeats nothing of what an unknown address said', async () => {
  const answer = await createHttpClient(api.url).get('/no/such/%3Cscript%3E')
  assert.is(answer.status, 404)
  const problem = bodyOf(answer, Problem)
  assert.is(problem.code, 'not_found')
  assert.not.match(JSON.stringify(problem), /script/)
})

test('has an announcement in the answer that its schema describes', async () => {
  const answer = await createHttpClient(api.url).post('/uploads', {
    filename: 'a',
    contentType: 'a/b',
    size: 1,
  })
  assert.is(answer.status, 201)
  assert.is(answer.headers.get('location'), `/uploads/${bodyOf(answer, Announced).id}`)
})

test.run()
