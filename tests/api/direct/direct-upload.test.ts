import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setImmediate as immediate } from 'node:timers/promises'
import { GetObjectCommand, ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/http/problem.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('upload through the API')
const MiB = 1024 ** 2
const maxUploadBytes = 20 * MiB

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

const fetched = (path: string, init: RequestInit) =>
  fetch(new URL(path, api.url), {
    method: 'POST',
    ...init,
    headers: { cookie: client.cookie ?? '', ...init.headers },
  })

/** A body of which the request does not say the length. */
function chunked(bytes: Uint8Array): RequestInit {
  const body = new ReadableStream({
    start(controller) {
      for (let at = 0; at < bytes.length; at += 65_536) controller.enqueue(bytes.subarray(at, at + 65_536))
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

async function uploaded(response: Response): Promise<UploadView> {
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`)
  return Compile(UploadView).Parse(await response.json())
}

async function refused(response: Response, status: number, code: string) {
  const problem = Compile(Problem).Parse(await response.json())
  assert.is(response.status, status, JSON.stringify(problem))
  assert.is(problem.code, code)
  return problem
}

async function stored({ id }: { id: string }) {
  const { Contents = [] } = await api.s3.send(
    new ListObjectsV2Command({ Bucket: api.bucket, Prefix: 'originals/' }),
  )
  const object = Contents.find(({ Key }) => Key?.endsWith(`/${id}`))
  return api.s3.send(new GetObjectCommand({ Bucket: api.bucket, Key: object?.Key }))
}

async function bytesOf(upload: UploadView) {
  const { Body } = await stored(upload)
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

/** What S3 and the list have of this client: nothing, once an upload has failed. */
async function leftBehind() {
  const [{ uploads }, objects, parts] = await Promise.all([
    client.get('/uploads').then((answer) => bodyOf(answer, UploadPage)),
    api.s3.send(new ListObjectsV2Command({ Bucket: api.bucket, Prefix: 'originals/' })),
    api.s3.send(new ListMultipartUploadsCommand({ Bucket: api.bucket })),
  ])
  return { uploads, objects: objects.KeyCount, parts: parts.Uploads ?? [] }
}

test('takes a raw body with its length', async () => {
  const bytes = randomBytes(300_000)
  const response = await fetched('/upload?filename=caf%C3%A9.png', {
    headers: { 'content-type': 'image/png' },
    body: bytes,
  })
  const upload = await uploaded(response)
  assert.is(response.headers.get('location'), `/uploads/${upload.id}`)
  assert.is(upload.state, 'received')
  assert.is(upload.size, bytes.length)
  assert.is(upload.filename, 'café.png')
  assert.is(upload.contentType, 'image/png')
  assert.ok(bytes.equals(await bytesOf(upload)))
})

test('takes the name from Content-Disposition, and what else is said of the file', async () => {
  const bytes = randomBytes(1000)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const query = new URLSearchParams({ preset: 'default', sha256, metadata: '{"album":"Été"}' })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const upload = await uploaded(
    await fetched(`/upload?${query}`, {
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
  const { Metadata, ContentType } = await stored(upload)
  assert.is(ContentType, 'image/png')
  assert.equal(Metadata, {
    filename: encodeURIComponent('été.png'),
    preset: 'default',
    sha256,
    notes: encodeURIComponent('{"album":"Été"}'),
    traceparent,
  })
})

test('takes a raw body of unknown length, in one PUT or in parts', async () => {
  for (const size of [1, 8 * MiB - 1, 8 * MiB, 8 * MiB + 1, 17 * MiB]) {
    const bytes = randomBytes(size)
    const upload = await uploaded(await fetched('/upload?filename=a', chunked(bytes)))
    assert.is(upload.size, size)
    assert.is(upload.contentType, 'application/octet-stream')
    assert.ok(bytes.equals(await bytesOf(upload)), `${size} bytes came through`)
    const { ETag } = await stored(upload)
    assert.is(/-\d+"$/.exec(ETag ?? '')?.[0], size < 8 * MiB ? undefined : `-${Math.ceil(size / (8 * MiB))}"`)
  }
})

test('takes a form with one file', async () => {
  for (const size of [1, 300_000, 17 * MiB]) {
    const bytes = randomBytes(size)
    const form = formOf({ preset: 'default', metadata: '{"album":"Été"}' }, ['été.png', bytes])
    const upload = await uploaded(await fetched('/upload', { body: form }))
    assert.is(upload.size, size)
    assert.is(upload.filename, 'été.png')
    assert.is(upload.contentType, 'image/png')
    assert.equal(upload.metadata, { album: 'Été' })
    assert.ok(bytes.equals(await bytesOf(upload)), `${size} bytes came through`)
  }
})

test('keeps bytes in a form that look like its boundary', async () => {
  const bytes = Buffer.from('a\r\n--fron\r\n--frontie\r\n\r\n--\r\r\n--frontieR'.repeat(5000))
  const head = '--frontier\r\ncontent-disposition: form-data; name="file"; filename="a"\r\n\r\n'
  const body = Buffer.concat([Buffer.from(head), bytes, Buffer.from('\r\n--frontier--')])
  const headers = { 'content-type': 'multipart/form-data; boundary=frontier' }
  assert.ok(bytes.equals(await bytesOf(await uploaded(await fetched('/upload', { headers, body })))))
})

test('makes the upload that of the session that it begins', async () => {
  const stranger = createHttpClient(api.url)
  const { headers, status } = await stranger.request('POST', '/upload?filename=a', { body: 'x' })
  assert.is(status, 201)
  assert.is((await stranger.get(headers.get('location') ?? '')).status, 200)
  assert.is((await client.get(headers.get('location') ?? '')).status, 404)
})

test('takes the processing up: the job is there, the list shows it', async () => {
  const upload = await uploaded(await fetched('/upload?filename=a', { body: 'x' }))
  const { uploads } = bodyOf(await client.get('/uploads'), UploadPage)
  assert.equal(
    uploads.map(({ id, state }) => ({ id, state })),
    [{ id: upload.id, state: 'received' }],
  )
  const job = await api.redis.keys(`${api.prefix}:uploads:${upload.id}-*`)
  assert.is(job.length, 1)
})

const bad: [what: string, path: string, init: () => RequestInit, status: number, code: string][] = [
  ['a file without a name', '/upload', () => ({ body: 'x' }), 400, 'invalid_request'],
  ['an empty body', '/upload?filename=a', () => ({}), 400, 'invalid_request'],
  ['an empty chunked body', '/upload?filename=a', () => chunked(Buffer.alloc(0)), 400, 'invalid_request'],
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
    'metadata out of shape',
    '/upload?filename=a&metadata=%5B1%5D',
    () => ({ body: 'x' }),
    400,
    'invalid_request',
  ],
  ['an unknown parameter', '/upload?filename=a&size=3', () => ({ body: 'x' }), 400, 'invalid_request'],
  [
    'an unreadable Content-Disposition',
    '/upload',
    () => ({ body: 'x', headers: { 'content-disposition': ';;=' } }),
    400,
    'invalid_request',
  ],
  [
    'a type that is none',
    '/upload?filename=a',
    () => ({ body: 'x', headers: { 'content-type': 'image' } }),
    415,
    'unsupported_media_type',
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
    'a form with an empty file',
    '/upload',
    () => ({ body: formOf({}, ['a', new Uint8Array()]) }),
    400,
    'invalid_request',
  ],
  [
    'a form with two files',
    '/upload',
    () => ({ body: formOf({}, ['a', randomBytes(100)], ['b', randomBytes(100)]) }),
    400,
    'invalid_request',
  ],
  [
    'a form with two large files',
    '/upload',
    () => ({ body: formOf({}, ['a', randomBytes(9 * MiB)], ['b', randomBytes(9 * MiB)]) }),
    400,
    'invalid_request',
  ],
  [
    'a form with a field after the file',
    '/upload',
    () => {
      const body = formOf({}, ['a', randomBytes(9 * MiB)])
      body.append('preset', 'default')
      return { body }
    },
    400,
    'invalid_request',
  ],
  [
    'a form with an unknown field',
    '/upload',
    () => ({ body: formOf({ colour: 'red' }, ['a', randomBytes(100)]) }),
    400,
    'invalid_request',
  ],
  [
    'a form with an unknown preset',
    '/upload',
    () => ({ body: formOf({ preset: 'none' }, ['a', randomBytes(9 * MiB)]) }),
    400,
    'preset_unknown',
  ],
  [
    'a form with a field beyond measure',
    '/upload',
    () => ({ body: formOf({ metadata: 'x'.repeat(20_000) }, ['a', randomBytes(100)]) }),
    400,
    'invalid_request',
  ],
  [
    'a form that is cut off',
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
    () => ({ body: randomBytes(maxUploadBytes + 1) }),
    413,
    'upload_too_large',
  ],
  [
    'a chunked body over the limit',
    '/upload?filename=a',
    () => chunked(randomBytes(maxUploadBytes + 1)),
    413,
    'upload_too_large',
  ],
  [
    'a form over the limit',
    '/upload',
    () => ({ body: formOf({}, ['a', randomBytes(maxUploadBytes + 1)]) }),
    413,
    'upload_too_large',
  ],
]

for (const [what, path, init, status, code] of bad) {
  test(`refuses ${what} and keeps nothing of it`, async () => {
    const before = await leftBehind()
    const problem = await refused(await fetched(path, init()), status, code)
    if (status === 413) assert.is(problem.limit, maxUploadBytes)
    assert.equal(await leftBehind(), before)
  })
}

/** Opens a connection by hand and sends the head of an upload and a first piece of its body. */
async function begin(headers: string[], piece: Uint8Array) {
  const { hostname, port } = new URL(api.url)
  const socket = connect(Number(port), hostname)
  const cookie = `cookie: ${client.cookie}`
  socket.write(['POST /upload?filename=a HTTP/1.1', 'host: x', cookie, ...headers, '', ''].join('\r\n'))
  if (!socket.write(piece)) await once(socket, 'drain')
  return socket
}

/** Asks again and again until it is so: what is waited for tells nobody. */
async function until(isSo: () => Promise<boolean>) {
  while (!(await isSo())) await immediate()
}

const cut: [what: string, headers: string[], piece: () => Uint8Array][] = [
  ['a raw body', [`content-length: ${16 * MiB}`], () => randomBytes(3 * MiB)],
  [
    'a chunked body',
    ['transfer-encoding: chunked'],
    () => Buffer.concat([Buffer.from('900000\r\n'), randomBytes(9 * MiB)]),
  ],
  [
    'a form',
    [`content-length: ${16 * MiB}`, 'content-type: multipart/form-data; boundary=b'],
    () => {
      const head = '--b\r\ncontent-disposition: form-data; name="f"; filename="a"\r\n\r\n'
      return Buffer.concat([Buffer.from(head), randomBytes(9 * MiB)])
    },
  ],
]
for (const [what, headers, piece] of cut) {
  test(`keeps nothing of ${what} whose client goes away`, async () => {
    const before = await leftBehind()
    const socket = await begin(headers, piece())
    const isRaw = what === 'a raw body'
    await until(async () => {
      const { uploads, parts } = await leftBehind()
      return uploads.length > 0 && (isRaw || parts.length > 0)
    })
    socket.destroy()
    await until(async () => (await leftBehind()).uploads.length === 0)
    assert.equal(await leftBehind(), before)
  })
}

test('gives up a body in which nothing comes any more', async () => {
  const impatient = await startApiInstances({ environment: { UPLOAD_SILENCE_MS: '200' } })
  try {
    const { hostname, port } = new URL(impatient.url)
    const socket = connect(Number(port), hostname)
    socket.write('POST /upload?filename=a HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nhalf')
    socket.resume()
    await once(socket, 'close')
    const { KeyCount } = await impatient.s3.send(new ListObjectsV2Command({ Bucket: impatient.bucket }))
    assert.is(KeyCount, 0)
  } finally {
    await impatient.close()
  }
})

test('tells of S3 being away', async () => {
  const cloudless = await startApiInstances()
  try {
    await cloudless.stopCloud()
    for (const init of [
      { body: 'x' },
      chunked(randomBytes(9 * MiB)),
      { body: formOf({}, ['a', randomBytes(9)]) },
    ]) {
      const response = await fetch(`${cloudless.url}/upload?filename=a`, { method: 'POST', ...init })
      await refused(response, 503, 'dependency_unavailable')
    }
  } finally {
    await cloudless.close()
  }
})

test.run()
