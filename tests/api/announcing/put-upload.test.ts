import { createHash } from 'node:crypto'
import { GetObjectCommand, HeadObjectCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { announce, formOf, multipartOf, putOf, readUpload } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('upload by PUT')
const MiB = 1024 ** 2
const transport = 'put'
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances()
})
test.after(() => api.close())

type Put = ReturnType<typeof putOf>

function send({ url, headers }: Put, bytes: Uint8Array<ArrayBuffer>, changes: Record<string, string> = {}) {
  return fetch(url, { method: 'PUT', headers: { ...headers, ...changes }, body: bytes })
}

/** Returns bucket and key of the object that a URL addresses. */
function objectOf({ url }: Put) {
  const [, Bucket, ...key] = new URL(url).pathname.split('/')
  return { Bucket, Key: key.join('/') }
}

test('a file is sent with one PUT if the announcement asks for it, with its type and metadata', async () => {
  const client = createHttpClient(api.url)
  const bytes = new TextEncoder().encode('a photo')
  const announced = await announce(client, bytes.length, {
    transport,
    filename: 'Ärger & "Spaß" 😀.jpg',
    contentType: 'image/jpeg; q="a  b"',
    metadata: { album: 'Öl & Wasser' },
  })
  const put = putOf(announced)
  assert.is((await send(put, bytes)).status, 200)
  const stored = await api.s3.send(new GetObjectCommand(objectOf(put)))
  assert.equal(await stored.Body?.transformToByteArray(), bytes)
  assert.is(stored.ContentType, 'image/jpeg; q="a b"')
  assert.is(decodeURIComponent(stored.Metadata?.['filename'] ?? ''), 'Ärger & "Spaß" 😀.jpg')
  await api.redis.del(...(await api.redis.keys(`${api.prefix}:*:upload:*`)))
  const upload = await readUpload(client, announced.id)
  assert.equal([upload.state, upload.metadata], ['received', { album: 'Öl & Wasser' }])
})

test('S3 stores a PUT once: further ones are refused with 412 and leave no version', async () => {
  const put = putOf(await announce(createHttpClient(api.url), 7, { transport }))
  assert.is((await send(put, new Uint8Array(7))).status, 200)
  for (const bytes of [new Uint8Array(7), new Uint8Array(7).fill(1)]) {
    for (let i = 0; i < 5; i++) assert.is((await send(put, bytes)).status, 412)
  }
  const { Bucket, Key } = objectOf(put)
  const { Versions = [] } = await api.s3.send(new ListObjectVersionsCommand({ Bucket, Prefix: Key }))
  assert.is(Versions.length, 1)
})

test('S3 refuses bytes that do not have the announced SHA-256', async () => {
  const bytes = new TextEncoder().encode('these bytes')
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const put = putOf(await announce(createHttpClient(api.url), bytes.length, { transport, sha256 }))
  const refused = await send(put, new TextEncoder().encode('other bytes'))
  assert.is(refused.status, 400)
  assert.match(await refused.text(), /<Code>BadDigest<\/Code>/)
  assert.is((await send(put, bytes)).status, 200)
})

for (const [name, bytes, change] of [
  ['a larger file', 8, {}],
  ['a smaller file', 6, {}],
  ['another type', 7, { 'content-type': 'text/html' }],
  ['another filename', 7, { 'x-amz-meta-filename': 'x' }],
  ['another preset', 7, { 'x-amz-meta-preset': 'x' }],
  ['additional metadata', 7, { 'x-amz-meta-more': 'x' }],
  ['public access', 7, { 'x-amz-acl': 'public-read' }],
  ['a second file allowed', 7, { 'if-none-match': '' }],
] satisfies [string, number, Record<string, string>][]) {
  test(`S3 refuses a PUT that differs from the announcement: ${name}`, async () => {
    const put = putOf(await announce(createHttpClient(api.url), 7, { transport }))
    const response = await send(put, new Uint8Array(bytes), change)
    assert.is(response.status, 403)
    await api.s3.send(new HeadObjectCommand(objectOf(put))).then(
      () => assert.unreachable('S3 has stored the object'),
      (error) => assert.is(error.name, 'NotFound'),
    )
  })
}

test('the transport is a form by default and if asked for, and parts above 8 MiB', async () => {
  const client = createHttpClient(api.url)
  formOf(await announce(client, 7))
  formOf(await announce(client, 7, { transport: 'form' }))
  putOf(await announce(client, 8 * MiB, { transport }))
  multipartOf(await announce(client, 8 * MiB + 1, { transport }))
})

test('an unknown transport is refused by its name', async () => {
  const response = await createHttpClient(api.url).post('/uploads', {
    filename: 'a',
    contentType: 'a/b',
    size: 7,
    transport: 'pigeon',
  })
  assert.is(response.status, 400)
  assert.ok(bodyOf(response, Problem).errors?.some(({ field }) => field === 'transport'))
})

test.run()
