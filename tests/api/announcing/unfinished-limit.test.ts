import { createNameNetworks } from '@millrace/api/announcing/name-networks.ts'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { arrivalGraceMs } from '@millrace/shared/uploads/upload.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce, formOf, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { createTus } from '../../support/tus-client.ts'
import { waysToSend } from '../../support/ways-to-send.ts'

const test = suite('limit of unfinished uploads')
const MiB = 1024 ** 2
const { key: apiKey, entry } = newApiKey('shop', ['uploads:read', 'uploads:write'])
let api: ApiInstances
/** Addresses of this test, so that no two tests share a count. */
let nextAddress = 1

test.before(async () => {
  api = await startApiInstances({
    count: 2,
    environment: {
      API_KEYS: entry,
      TRUSTED_PROXIES: '127.0.0.1,::1',
      MAX_UNFINISHED_UPLOADS_PER_OWNER: '3',
      MAX_UNFINISHED_UPLOADS_PER_ADDRESS: '4',
    },
  })
})
test.after(() => api.close())

const newAddress = () => `198.51.100.${nextAddress++}`

/** Creates a client without a cookie at an address: each of its first requests begins a session. */
function clientAt(address: string, headers: Record<string, string> = {}): HttpClient {
  const client = createHttpClient(api.url)
  const request: HttpClient['request'] = (method, path, options = {}) =>
    client.request(method, path, {
      ...options,
      headers: { 'x-forwarded-for': address, ...headers, ...options.headers },
    })
  return {
    ...client,
    request,
    get: (path, options) => request('GET', path, options),
    post: (path, json, options) => request('POST', path, { json, ...options }),
    delete: (path) => request('DELETE', path),
  }
}

/** Announces a file with a session of its own. */
const announceAlone = (address: string, base?: string) =>
  clientAt(address).post(
    '/uploads',
    { filename: 'a.bin', contentType: 'image/png', size: 7 },
    { ...(base && { base }) },
  )

function problemOf(response: HttpResponse) {
  const { code, limit, remaining } = bodyOf(response, Problem)
  return [response.status, code, limit, remaining]
}

/** Fills the limit of an address with uploads of different owners, over both instances. */
async function fill(address: string): Promise<void> {
  for (let n = 0; n < 4; n++) assert.is((await announceAlone(address, api.urls[n % 2])).status, 201)
}

test('uploads of one address are refused above the limit, whatever their owner and instance', async () => {
  const address = newAddress()
  await fill(address)
  for (const url of api.urls) {
    const refused = await announceAlone(address, url)
    assert.equal(problemOf(refused), [429, 'too_many_unfinished_uploads', 4, 0])
    const seconds = Number(refused.headers.get('retry-after'))
    const formSeconds = 60 * 60 + arrivalGraceMs / 1000
    assert.ok(seconds > formSeconds - 60 && seconds <= formSeconds, String(seconds))
  }
  assert.is((await announceAlone(newAddress())).status, 201)
})

for (const [name, send] of waysToSend) {
  test(`${name} is refused while too many uploads are unfinished, and leaves nothing behind`, async () => {
    const address = newAddress()
    await fill(address)
    const before = await api.redis.keys(`${api.prefix}:{*`)
    const response = await send(clientAt(address))
    assert.is(response.status, 429)
    assert.is(bodyOf(response, Problem).code, 'too_many_unfinished_uploads')
    assert.equal((await api.redis.keys(`${api.prefix}:{*`)).sort(), before.sort())
  })
}

test('an upload over the limit opens no multipart upload in S3', async () => {
  const address = newAddress()
  await fill(address)
  const { s3, bucket } = api
  const { ListMultipartUploadsCommand } = await import('@aws-sdk/client-s3')
  const count = async () =>
    (await s3.send(new ListMultipartUploadsCommand({ Bucket: bucket }))).Uploads?.length ?? 0
  const before = await count()
  const announced = { filename: 'a.bin', contentType: 'image/png', size: 20 * MiB }
  assert.is((await clientAt(address).post('/uploads', announced)).status, 429)
  assert.is(await count(), before)
})

test('an owner with an API key counts to no address', async () => {
  const address = newAddress()
  await fill(address)
  const client = clientAt(address, { authorization: `Bearer ${apiKey}` })
  for (let n = 0; n < 3; n++) await announce(client, 7)
  const announced = { filename: 'a.bin', contentType: 'image/png', size: 7 }
  assert.equal(problemOf(await client.post('/uploads', announced)), [
    429,
    'too_many_unfinished_uploads',
    3,
    0,
  ])
})

test('an upload frees its place when its bytes arrive, whoever records that', async () => {
  const address = newAddress()
  const client = clientAt(address)
  const upload = await announce(client, 7)
  for (let n = 0; n < 3; n++) await announceAlone(address)
  assert.is((await announceAlone(address)).status, 429)
  await sendForm(formOf(upload), new Uint8Array(7))
  const [key = ''] = await api.redis.keys(`${api.prefix}:*:upload:${upload.id}`)
  const owner = /\{(.+)\}/.exec(key)?.[1] ?? ''
  // As a worker does when it gets the event.
  const received = await createTestLifecycle(api).receiveUpload({ owner, id: upload.id })
  assert.is(received?.upload.state, 'received')
  assert.is((await announceAlone(address)).status, 201)
})

test('direct and tus uploads count only until they are complete', async () => {
  const address = newAddress()
  const client = clientAt(address)
  for (let n = 0; n < 6; n++) {
    const sent = await client.request('POST', '/upload?filename=a.txt', {
      body: 'the file',
      headers: { 'content-type': 'text/plain' },
    })
    assert.is(sent.status, 201)
    const path = await createTus(client, 3, { filename: 'a.bin' })
    const patched = await client.request('PATCH', path, {
      body: 'abc',
      headers: {
        'tus-resumable': '1.0.0',
        'upload-offset': '0',
        'content-type': 'application/offset+octet-stream',
      },
    })
    assert.is(patched.status, 204)
  }
})

test('an upload that could not be admitted frees its place', async () => {
  const address = newAddress()
  const client = clientAt(address)
  await client.get('/session')
  const { id } = await announce(client, 7)
  const [key = ''] = await api.redis.keys(`${api.prefix}:*:upload:${id}`)
  const index = key.replace(`upload:${id}`, 'uploads')
  await api.redis.del(index)
  await api.redis.set(index, 'broken')
  for (let n = 0; n < 5; n++) {
    const announced = { filename: 'a.bin', contentType: 'image/png', size: 7 }
    assert.is((await client.post('/uploads', announced)).status, 500)
  }
  assert.is((await announceAlone(address)).status, 201)
})

test('an IPv6 client counts by its network, and Redis has no address', async () => {
  const before = await api.redis.keys(`${api.prefix}:unfinished:*`)
  for (let n = 0; n < 4; n++) assert.is((await announceAlone(`2001:db8:1:2::${n}`)).status, 201)
  assert.is((await announceAlone('2001:db8:1:2:ffff::1')).status, 429)
  assert.is((await announceAlone('2001:db8:1:3::1')).status, 201)
  const counting = await api.redis.keys(`${api.prefix}:unfinished:*`)
  assert.is(counting.length - before.length, 3, 'two networks and their site')
  for (const key of counting) assert.match(key, /:unfinished:[\w-]{16}$/)
})

test('a network has the same name for one key, and another for another', () => {
  const named = (byte: number) => createNameNetworks({ key: Buffer.alloc(32, byte) })
  assert.equal(named(1)('198.51.100.1'), named(1)('::ffff:198.51.100.1'))
  assert.not.equal(named(1)('198.51.100.1'), named(2)('198.51.100.1'))
  assert.not.equal(named(1)('198.51.100.1'), named(1)('198.51.100.2'))
  assert.equal(
    named(1)('2001:db8::1').map(({ share }) => share),
    [1, 8],
  )
  assert.equal(named(1)(undefined), [])
})

test.run()
