import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { GetObjectCommand, ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { oneBody } from '../../support/one-body.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('direct upload')
const MiB = 1024 ** 2
const maxUploadBytes = 20 * MiB
const uploadView = Compile(UploadView)
const problemView = Compile(Problem)
/** The bytes of all files, made once. */
const random = randomBytes(maxUploadBytes + 1)
const randomOf = (size: number) => random.subarray(0, size)

let api: ApiInstances
let client: HttpClient

test.before(async () => {
  api = await startApiInstances({ environment: { MAX_UPLOAD_BYTES: String(maxUploadBytes) } })
})
test.before.each(async () => {
  client = createHttpClient(api.url)
  await client.get('/session')
})
test.after(() => api.close())

/** Sends a POST request with the client's cookie. */
const post = (path: string, init: RequestInit) =>
  fetch(new URL(path, api.url), {
    ...oneBody,
    method: 'POST',
    ...init,
    headers: { cookie: client.cookie ?? '', ...init.headers },
  })

/** Creates a chunked body, so that the request has no Content-Length. */
function chunked(bytes: Uint8Array): RequestInit {
  const body = new ReadableStream({
    start(controller) {
      for (let start = 0; start < bytes.length; start += 65_536)
        controller.enqueue(bytes.subarray(start, start + 65_536))
      controller.close()
    },
  })
  return { body, duplex: 'half' }
}

function formOf(fields: Record<string, string>, ...files: [name: string, bytes: Uint8Array<ArrayBuffer>][]) {
  const form = new FormData()
  for (const [name, value] of Object.entries(fields)) form.append(name, value)
  for (const [name, bytes] of files) form.append('file', new Blob([bytes], { type: 'image/png' }), name)
  return form
}

/** Reads the upload in a response. Throws if the status is not 201. */
async function uploadOf(response: Response): Promise<UploadView> {
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
  return uploadView.Parse(await response.json())
}

async function assertProblem(response: Response, status: number, code: string) {
  const problem = problemView.Parse(await response.json())
  assert.is(response.status, status, JSON.stringify(problem))
  assert.is(problem.code, code)
  return problem
}

/** Reads the original of an upload from S3. */
async function readOriginal({ id }: { id: string }) {
  const { Contents = [] } = await api.s3.send(
    new ListObjectsV2Command({ Bucket: api.bucket, Prefix: 'originals/' }),
  )
  const object = Contents.find(({ Key }) => Key?.endsWith(`/${id}`))
  return api.s3.send(new GetObjectCommand({ Bucket: api.bucket, Key: object?.Key }))
}

async function bytesOf(upload: UploadView) {
  const { Body } = await readOriginal(upload)
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

/** Lists what S3 and the client's list contain, to compare it before and after a failed upload. */
async function listStored() {
  const [{ uploads }, objects, multiparts] = await Promise.all([
    client.get('/uploads').then((response) => bodyOf(response, UploadPage)),
    api.s3.send(new ListObjectsV2Command({ Bucket: api.bucket, Prefix: 'originals/' })),
    api.s3.send(new ListMultipartUploadsCommand({ Bucket: api.bucket })),
  ])
  return { uploads, objects: objects.KeyCount, multiparts: multiparts.Uploads ?? [] }
}

test('POST /upload stores a raw body with a Content-Length', async () => {
  const bytes = randomOf(300_000)
  const response = await post('/upload?filename=caf%C3%A9.png', {
    headers: { 'content-type': 'image/png' },
    body: bytes,
  })
  const upload = await uploadOf(response)
  assert.is(response.headers.get('location'), `/uploads/${upload.id}`)
  assert.is(upload.state, 'received')
  assert.is(upload.size, bytes.length)
  assert.is(upload.filename, 'café.png')
  assert.is(upload.contentType, 'image/png')
  assert.ok(bytes.equals(await bytesOf(upload)))
})

test('POST /upload reads filename, preset, SHA-256, metadata and trace of a raw body from query and headers', async () => {
  const bytes = randomOf(1000)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const query = new URLSearchParams({ preset: 'default', sha256, metadata: '{"album":"Été"}' })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const upload = await uploadOf(
    await post(`/upload?${query}`, {
      headers: {
        'content-type': 'image/png',
        'content-disposition': "attachment; filename=e.png; filename*=UTF-8''%C3%A9t%C3%A9.png",
        traceparent,
      },
      body: bytes,
    }),
  )
  assert.is(upload.filename, 'été.png')
  assert.equal(upload.metadata, { album: 'Été' })
  const { Metadata, ContentType } = await readOriginal(upload)
  assert.is(ContentType, 'image/png')
  assert.equal(Metadata, {
    filename: encodeURIComponent('été.png'),
    preset: 'default',
    sha256,
    notes: encodeURIComponent('{"album":"Été"}'),
    traceparent,
  })
})

test('POST /upload stores a raw body of unknown length, with one PUT or in parts', async () => {
  for (const size of [1, 8 * MiB - 1, 8 * MiB, 8 * MiB + 1, 17 * MiB]) {
    const bytes = randomOf(size)
    const upload = await uploadOf(await post('/upload?filename=a', chunked(bytes)))
    assert.is(upload.size, size)
    assert.is(upload.contentType, 'application/octet-stream')
    assert.ok(bytes.equals(await bytesOf(upload)), `${size} bytes are stored`)
    const { ETag } = await readOriginal(upload)
    assert.is(/-\d+"$/.exec(ETag ?? '')?.[0], size < 8 * MiB ? undefined : `-${Math.ceil(size / (8 * MiB))}"`)
  }
})

test('POST /upload stores the file of a form', async () => {
  for (const size of [1, 300_000, 17 * MiB]) {
    const bytes = randomOf(size)
    const form = formOf({ preset: 'default', metadata: '{"album":"Été"}' }, ['été.png', bytes])
    const upload = await uploadOf(await post('/upload', { body: form }))
    assert.is(upload.size, size)
    assert.is(upload.filename, 'été.png')
    assert.is(upload.contentType, 'image/png')
    assert.equal(upload.metadata, { album: 'Été' })
    assert.ok(bytes.equals(await bytesOf(upload)), `${size} bytes are stored`)
  }
})

test('a file in a form may contain bytes that resemble the boundary', async () => {
  const bytes = Buffer.from('a\r\n--fron\r\n--frontie\r\n\r\n--\r\r\n--frontieR'.repeat(5000))
  const head = '--frontier\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
  const body = Buffer.concat([Buffer.from(head), bytes, Buffer.from('\r\n--frontier--')])
  const headers = { 'content-type': 'multipart/form-data; boundary=frontier' }
  const upload = await uploadOf(await post('/upload', { headers, body }))
  assert.ok(bytes.equals(await bytesOf(upload)))
})

test('POST /upload without a session starts one, which owns the upload', async () => {
  const stranger = createHttpClient(api.url)
  const { headers, status } = await stranger.request('POST', '/upload?filename=a', { body: 'x' })
  assert.is(status, 201)
  assert.is((await stranger.get(headers.get('location') ?? '')).status, 200)
  assert.is((await client.get(headers.get('location') ?? '')).status, 404)
})

test('POST /upload adds a job, and GET /uploads lists the upload', async () => {
  const upload = await uploadOf(await post('/upload?filename=a', { body: 'x' }))
  const { uploads } = bodyOf(await client.get('/uploads'), UploadPage)
  assert.equal(
    uploads.map(({ id, state }) => ({ id, state })),
    [{ id: upload.id, state: 'received' }],
  )
  const jobKeys = await api.redis.keys(`${api.prefix}:uploads:${upload.id}-*`)
  assert.is(jobKeys.length, 1)
})

const invalid: [name: string, path: string, init: () => RequestInit, status: number, code: string][] = [
  ['a file without a name', '/upload', () => ({ body: 'x' }), 400, 'invalid_request'],
  ['an unknown preset', '/upload?filename=a&preset=none', () => ({ body: 'x' }), 400, 'preset_unknown'],
  ['a name with control characters', '/upload?filename=a%0Ab', () => ({ body: 'x' }), 400, 'invalid_request'],
  [
    'metadata that is not JSON',
    '/upload?filename=a&metadata=%7B',
    () => ({ body: 'x' }),
    400,
    'invalid_request',
  ],
  [
    'metadata that is an array',
    '/upload?filename=a&metadata=%5B1%5D',
    () => ({ body: 'x' }),
    400,
    'invalid_request',
  ],
  ['an unknown parameter', '/upload?filename=a&size=3', () => ({ body: 'x' }), 400, 'invalid_request'],
  [
    'a malformed Content-Disposition',
    '/upload',
    () => ({ body: 'x', headers: { 'content-disposition': ';;=' } }),
    400,
    'invalid_request',
  ],
  [
    'a part of a file',
    '/upload?filename=a',
    () => ({ body: 'x', headers: { 'content-range': 'bytes 1-1/2' } }),
    400,
    'invalid_request',
  ],
  [
    "a chunk of Dropzone's",
    '/upload',
    () => ({ body: formOf({ dzchunkindex: '0', dztotalchunkcount: '2' }, ['a', randomOf(100)]) }),
    400,
    'invalid_request',
  ],
  [
    'a form with two files and one SHA-256',
    '/upload',
    () => ({
      body: formOf({ sha256: 'ab'.repeat(32) }, ['a', randomOf(100)], ['b', randomOf(9 * MiB)]),
    }),
    400,
    'invalid_request',
  ],
  [
    'a compressed body',
    '/upload?filename=a',
    () => ({ body: 'x', headers: { 'content-encoding': 'gzip' } }),
    415,
    'unsupported_media_type',
  ],
  [
    'a form without boundary',
    '/upload',
    () => ({ body: 'x', headers: { 'content-type': 'multipart/form-data' } }),
    400,
    'invalid_request',
  ],
  [
    'a form without a file',
    '/upload',
    () => ({ body: formOf({ preset: 'default' }) }),
    400,
    'invalid_request',
  ],
  [
    'a form with a field after the file',
    '/upload',
    () => {
      const body = formOf({}, ['a', randomOf(9 * MiB)])
      body.append('preset', 'default')
      return { body }
    },
    400,
    'invalid_request',
  ],
  [
    'a form with an unknown preset',
    '/upload',
    () => ({ body: formOf({ preset: 'none' }, ['a', randomOf(9 * MiB)]) }),
    400,
    'preset_unknown',
  ],
  [
    'a form with a field over 16 KiB',
    '/upload',
    () => ({ body: formOf({ metadata: 'x'.repeat(20_000) }, ['a', randomOf(100)]) }),
    400,
    'invalid_request',
  ],
  [
    'an incomplete form',
    '/upload',
    () => ({
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
      body: `--b\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\nhalf`,
    }),
    400,
    'invalid_request',
  ],
  [
    'a raw body over the limit',
    '/upload?filename=a',
    () => ({ body: randomOf(maxUploadBytes + 1) }),
    413,
    'upload_too_large',
  ],
  [
    'a chunked body over the limit',
    '/upload?filename=a',
    () => chunked(randomOf(maxUploadBytes + 1)),
    413,
    'upload_too_large',
  ],
  [
    'a form over the limit',
    '/upload',
    () => ({ body: formOf({}, ['a', randomOf(maxUploadBytes + 1)]) }),
    413,
    'upload_too_large',
  ],
]

for (const [name, path, init, status, code] of invalid) {
  test(`POST /upload refuses ${name} and stores nothing`, async () => {
    const before = await listStored()
    const problem = await assertProblem(await post(path, init()), status, code)
    if (status === 413) assert.is(problem.limit, maxUploadBytes)
    assert.equal(await listStored(), before)
  })
}

/** Returns the keys of the uploads that Redis has. To ask for them costs less than a list. */
const records = () => api.redis.keys(`${api.prefix}:*:upload:*`)

/** Opens a connection and sends the headers of an upload and the first bytes of its body. */
async function beginUpload(headers: string[], firstBytes: Uint8Array) {
  const { hostname, port } = new URL(api.url)
  const socket = connect(Number(port), hostname)
  const cookie = `cookie: ${client.cookie}`
  socket.write(
    ['POST /upload?filename=a HTTP/1.1', 'host: localhost', cookie, ...headers, '', ''].join('\r\n'),
  )
  if (!socket.write(firstBytes)) await once(socket, 'drain')
  return socket
}

const interrupted: [name: string, headers: string[], firstBytes: () => Uint8Array][] = [
  ['a raw body', [`content-length: ${16 * MiB}`], () => randomOf(3 * MiB)],
  [
    'a chunked body',
    ['transfer-encoding: chunked'],
    () => Buffer.concat([Buffer.from('900000\r\n'), randomOf(9 * MiB)]),
  ],
  [
    'a form',
    [`content-length: ${16 * MiB}`, 'content-type: multipart/form-data; boundary=b'],
    () => {
      const head = '--b\r\ncontent-disposition: form-data; name="f"; filename="a"\r\n\r\n'
      return Buffer.concat([Buffer.from(head), randomOf(9 * MiB)])
    },
  ],
]
for (const [name, headers, firstBytes] of interrupted) {
  test(`nothing of ${name} is stored if the client closes the connection`, async () => {
    const before = await listStored()
    const recordsBefore = await records()
    const socket = await beginUpload(headers, firstBytes())
    const isRaw = name === 'a raw body'
    await until(async () => (await records()).length > recordsBefore.length)
    if (!isRaw) await until(async () => (await listStored()).multiparts.length > 0)
    socket.destroy()
    await until(async () => (await records()).length === recordsBefore.length)
    await until(async () => (await listStored()).uploads.length === 0)
    assert.equal(await listStored(), before)
  })
}

test('an upload without new bytes for UPLOAD_IDLE_TIMEOUT_MS is aborted and its connection closed', async () => {
  const shortTimeout = await startApiInstances({ environment: { UPLOAD_IDLE_TIMEOUT_MS: '200' } })
  try {
    const { hostname, port } = new URL(shortTimeout.url)
    const socket = connect(Number(port), hostname)
    socket.write('POST /upload?filename=a HTTP/1.1\r\nhost: localhost\r\ncontent-length: 10\r\n\r\nhalf')
    socket.resume()
    await once(socket, 'close')
    const listing = new ListObjectsV2Command({ Bucket: shortTimeout.bucket })
    assert.is((await shortTimeout.s3.send(listing)).KeyCount, 0)
  } finally {
    await shortTimeout.close()
  }
})

test('POST /upload returns 503 while S3 does not respond', async () => {
  const withoutCloud = await startApiInstances()
  try {
    await withoutCloud.stopCloud()
    for (const init of [
      { body: 'x' },
      chunked(randomOf(9 * MiB)),
      { body: formOf({}, ['a', randomOf(9)]) },
    ]) {
      const response = await fetch(`${withoutCloud.url}/upload?filename=a`, { method: 'POST', ...init })
      await assertProblem(response, 503, 'dependency_unavailable')
    }
  } finally {
    await withoutCloud.close()
  }
})

test.run()
