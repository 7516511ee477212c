import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { SentFiles } from '@millrace/api/direct/direct-upload-routes.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('forms in the wild')
const MiB = 1024 ** 2

let api: ApiInstances
let client: HttpClient

test.before(async () => {
  api = await startApiInstances({ environment: { MAX_UPLOAD_BYTES: String(20 * MiB) } })
})
test.before.each(async () => {
  client = createHttpClient(api.url)
  await client.get('/session')
})
test.after(() => api.close())

/** A part of a form, with the headers in the order in which browsers send them. */
type Part =
  | { name: string; value: string }
  | { name: string; filename: string; type?: string; bytes: string | Buffer }

/** Encodes a form as browsers do (HTML Standard, "multipart/form-data encoding algorithm"). */
function encode(parts: Part[], boundary = '----WebKitFormBoundaryAbCdEf0123456789'): Buffer {
  const escapeName = (name: string) =>
    name.replaceAll('"', '%22').replaceAll('\r', '%0D').replaceAll('\n', '%0A')
  const encoded = parts.map((part) => {
    const head = `--${boundary}\r\nContent-Disposition: form-data; name="${escapeName(part.name)}"`
    if ('value' in part) return Buffer.from(`${head}\r\n\r\n${part.value}\r\n`)
    const { filename, type = 'application/octet-stream', bytes } = part
    return Buffer.concat([
      Buffer.from(`${head}; filename="${escapeName(filename)}"\r\nContent-Type: ${type}\r\n\r\n`),
      Buffer.from(bytes),
      Buffer.from('\r\n'),
    ])
  })
  return Buffer.concat([...encoded, Buffer.from(`--${boundary}--\r\n`)])
}

const formType = 'multipart/form-data; boundary=----WebKitFormBoundaryAbCdEf0123456789'

function sendForm(
  parts: Part[],
  headers: Record<string, string> = {},
  sender = client,
): Promise<HttpResponse> {
  const body = new Uint8Array(encode(parts))
  return sender.request('POST', '/upload', { body, headers: { 'content-type': formType, ...headers } })
}

async function oneOf(sending: Promise<HttpResponse>): Promise<UploadView> {
  const response = await sending
  if (response.status !== 201) throw new Error(`${response.status} ${JSON.stringify(response.body)}`)
  assert.ok(response.headers.get('location'))
  return bodyOf(response, UploadView)
}

async function severalOf(sending: Promise<HttpResponse>): Promise<UploadView[]> {
  const response = await sending
  if (response.status !== 201) throw new Error(`${response.status} ${JSON.stringify(response.body)}`)
  return bodyOf(response, SentFiles).uploads
}

const list = async () => bodyOf(await client.get('/uploads'), UploadPage).uploads

test("FilePond's form becomes an upload with its metadata, in a field of any name", async () => {
  const upload = await oneOf(
    sendForm([
      { name: 'filepond', value: '{"resize":{"mode":"cover"},"album":"summer","page":2}' },
      { name: 'filepond', filename: 'photo.jpg', type: 'image/jpeg', bytes: 'photo' },
    ]),
  )
  assert.is(upload.filename, 'photo.jpg')
  assert.is(upload.contentType, 'image/jpeg')
  assert.equal(upload.metadata, { album: 'summer', page: '2' })
  const plain = await oneOf(
    sendForm([
      { name: 'filepond', value: '{}' },
      { name: 'filepond', filename: 'a', type: '', bytes: 'photo' },
    ]),
  )
  assert.is(plain.metadata, undefined)
  assert.is(plain.contentType, 'application/octet-stream')
})

test("Uppy's form becomes an upload without the fields that repeat the file", async () => {
  const upload = await oneOf(
    sendForm([
      { name: 'relativePath', value: 'null' },
      { name: 'name', value: 'photo.jpg' },
      { name: 'type', value: 'image/jpeg' },
      { name: 'caption', value: 'Été' },
      { name: 'file', filename: 'photo.jpg', type: 'image/jpeg', bytes: 'photo' },
    ]),
  )
  assert.equal(upload.metadata, { caption: 'Été' })
})

test('fields of a form that cannot be metadata are ignored', async () => {
  const upload = await oneOf(
    sendForm([
      { name: '_token', value: 'secret' },
      { name: 'tags[]', value: 'a' },
      { name: 'about', value: 'x'.repeat(300) },
      { name: 'novel', value: 'x'.repeat(20_000) },
      { name: 'empty', value: '' },
      { name: 'nul', value: 'a\0' },
      { name: 'metadata', value: '{"album":"a"}' },
      { name: 'album', value: 'b' },
      { name: 'twice', value: '1' },
      { name: 'twice', value: '2' },
      { name: 'file', filename: 'a', bytes: 'x' },
    ]),
  )
  assert.equal(upload.metadata, { album: 'a', twice: '2' })
})

test('a form of several files becomes several uploads, with the fields before them', async () => {
  const files = [
    { name: 'file[0]', filename: 'a.txt', type: 'text/plain', bytes: 'A' },
    { name: 'file[1]', filename: 'b.bin', bytes: randomBytes(9 * MiB) },
    { name: 'file[2]', filename: 'c.txt', type: 'text/plain', bytes: '' },
  ]
  const [between, ...others] = [{ name: 'note', value: 'n' }]
  assert.ok(between && others.length === 0)
  const uploads = await severalOf(
    sendForm([
      { name: 'preset', value: 'default' },
      { name: 'album', value: 'x' },
      ...files.slice(0, 1),
      between,
      ...files.slice(1),
    ]),
  )
  assert.equal(
    uploads.map(({ filename, size, metadata }) => [filename, size, metadata]),
    [
      ['a.txt', 1, { album: 'x' }],
      ['b.bin', 9 * MiB, { album: 'x', note: 'n' }],
      ['c.txt', 0, { album: 'x', note: 'n' }],
    ],
  )
  assert.equal((await list()).map(({ id }) => id).sort(), uploads.map(({ id }) => id).sort())
})

test('a stranger owns all files of a form', async () => {
  const stranger = createHttpClient(api.url)
  const files = ['a', 'b'].map((filename) => ({ name: 'files', filename, bytes: 'x' }))
  for (const headers of [{}, { 'idempotency-key': 'k' }]) {
    for (const { id } of await severalOf(sendForm(files, headers, stranger)))
      assert.is((await stranger.get(`/uploads/${id}`)).status, 200)
  }
})

test('file fields in which no file was chosen, and a button after the file, are ignored', async () => {
  const upload = await oneOf(
    sendForm([
      { name: 'avatar', filename: '', bytes: '' },
      { name: 'photo', filename: 'a.jpg', type: 'image/jpeg', bytes: 'photo' },
      { name: 'more', filename: '', bytes: '' },
      { name: 'submit', value: 'Send' },
    ]),
  )
  assert.is(upload.filename, 'a.jpg')
  assert.is(upload.metadata, undefined)
  const none = await sendForm([{ name: 'avatar', filename: '', bytes: '' }])
  assert.is(none.status, 400)
  assert.match(bodyOf(none, Problem).detail, /must contain a file/)
  const unnamed = await sendForm([{ name: 'avatar', filename: '', bytes: 'x' }])
  assert.is(bodyOf(unnamed, Problem).errors?.[0]?.field, 'filename')
})

test('a form of several files stores those before one that is refused, and says so', async () => {
  const files = [
    { name: 'f', filename: 'a', bytes: 'A' },
    { name: 'f', filename: 'b', bytes: 'B' },
    { name: 'f', filename: 'large', bytes: randomBytes(20 * MiB + 1) },
  ]
  const response = await sendForm(files)
  assert.is(response.status, 413)
  const { code, detail, limit } = bodyOf(response, Problem)
  const stored = (await list()).map(({ id }) => id).sort()
  assert.is(code, 'upload_too_large')
  assert.is(limit, 20 * MiB)
  assert.is(stored.length, 2)
  assert.ok(
    detail.endsWith(`This is about file 3 of the form; those before it are stored: ${stored.join(', ')}.`),
    detail,
  )
})

test('a form may have 100 files, and those before the next one are stored', async () => {
  const files = Array.from({ length: 101 }, (_, n) => ({ name: 'f', filename: `${n}`, bytes: 'x' }))
  const { detail } = bodyOf(await sendForm(files), Problem)
  const [reason, stored = ''] = detail.split('; those before it are stored: ')
  assert.is(reason, 'The form must contain at most 100 files. This is about file 101 of the form')
  assert.is(stored.split(', ').length, 100)
})

test('a form of several files keeps the first one if its client disconnects in the second', async () => {
  const { hostname, port } = new URL(api.url)
  const socket = connect(Number(port), hostname)
  const form = encode([
    { name: 'f', filename: 'a', bytes: 'A' },
    { name: 'f', filename: 'b', bytes: randomBytes(9 * MiB) },
  ])
  socket.write(
    `POST /upload HTTP/1.1\r\nhost: localhost\r\ncookie: ${client.cookie}\r\ncontent-type: ${formType}\r\ncontent-length: ${form.length}\r\n\r\n`,
  )
  if (!socket.write(form.subarray(0, 5 * MiB))) await once(socket, 'drain')
  const namesOf = async () => (await list()).map(({ filename, state }) => `${filename} ${state}`)
  await until(async () => (await namesOf()).length >= 2)
  socket.destroy()
  await until(async () => (await namesOf()).length <= 1)
  assert.equal(await namesOf(), ['a received'])
})

test('a form of several files that is sent again with its Idempotency-Key creates only what is missing', async () => {
  const small = (filename: string) => ({ name: 'f', filename, bytes: filename })
  const headers = { 'idempotency-key': 'again' }
  // The same length: a repeated request has the same content.
  const first = await sendForm([small('a'), { name: 'f', filename: '', bytes: 'bb' }], headers)
  assert.is(first.status, 400)
  const [stored] = await list()
  const uploads = await severalOf(sendForm([small('a'), small('b')], headers))
  assert.equal(
    uploads.map(({ filename }) => filename),
    ['a', 'b'],
  )
  assert.is(uploads[0]?.id, stored?.id)
  const again = await severalOf(sendForm([small('a'), small('b')], headers))
  assert.equal(
    again.map(({ id }) => id),
    uploads.map(({ id }) => id),
  )
  assert.is((await list()).length, 2)
})

/** Sends a request as bytes and returns the response's status line and body. */
async function sendRaw(head: string[], ...body: (string | Buffer)[]) {
  const { hostname, port } = new URL(api.url)
  const socket = connect(Number(port), hostname)
  socket.write(
    [...head, 'Host: localhost', `Cookie: ${client.cookie}`, 'Connection: close', '', ''].join('\r\n'),
  )
  const chunks: Buffer[] = []
  socket.on('data', (chunk) => {
    if (chunks.length === 0) for (const part of body) socket.write(part)
    chunks.push(chunk)
  })
  if (!head.some((line) => line.startsWith('Expect'))) for (const part of body.splice(0)) socket.write(part)
  await once(socket, 'close')
  const text = Buffer.concat(chunks).toString()
  const json = text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1)
  return { status: /^HTTP\/1.1 201/m.test(text) ? 201 : text.slice(0, 200), json }
}

const puts: [what: string, path: string, filename: string][] = [
  ['a directory', '/upload/ph%20oto.jpg', 'ph oto.jpg'],
  ['a directory with a long name', `/upload/${encodeURIComponent('漢'.repeat(255))}`, '漢'.repeat(255)],
  ['a path below', '/upload/a/b/photo.jpg', 'photo.jpg'],
  ['the route itself', '/upload', 'file'],
  ['the route itself, with a slash', '/upload/', 'file'],
]
for (const [what, path, filename] of puts) {
  test(`curl -T to ${what} stores the file, also without a length`, async () => {
    // curl 8: `curl -T photo.jpg http://host/upload/`, and `cat photo.jpg | curl -T - …`
    const head = ['User-Agent: curl/8.14.1', 'Accept: */*']
    const plain = await sendRaw([`PUT ${path} HTTP/1.1`, ...head, 'Content-Length: 5'], 'photo')
    const chunked = await sendRaw(
      [`PUT ${path} HTTP/1.1`, ...head, 'Transfer-Encoding: chunked', 'Expect: 100-continue'],
      '5\r\nphoto\r\n0\r\n\r\n',
    )
    const empty = await sendRaw([`PUT ${path} HTTP/1.1`, ...head, 'Content-Length: 0'])
    for (const [{ status, json }, size] of [
      [plain, 5],
      [chunked, 5],
      [empty, 0],
    ] as const) {
      assert.is(status, 201)
      const upload = Compile(UploadView).Parse(JSON.parse(json))
      assert.is(upload.filename, filename)
      assert.is(upload.size, size)
    }
  })
}

test('PUT without a body and PUT of a form are like POST', async () => {
  const none = await sendRaw(['PUT /upload/a.jpg HTTP/1.1'])
  assert.match(none.json, /has no body/)
  const upload = await oneOf(
    client.request('PUT', '/upload', {
      body: new Uint8Array(encode([{ name: 'file', filename: 'a.jpg', bytes: 'x' }])),
      headers: { 'content-type': formType },
    }),
  )
  assert.is(upload.filename, 'a.jpg')
})

test('DELETE /upload erases what a response of POST /upload names, as FilePond sends it back', async () => {
  const file = { name: 'filepond', filename: 'a', bytes: 'x' }
  const headers = { 'content-type': 'text/plain;charset=UTF-8' }
  const one = await sendForm([file])
  const several = await sendForm([file, file])
  const byId = await sendForm([file])
  assert.is((await list()).length, 4)
  for (const body of [JSON.stringify(one.body), JSON.stringify(several.body), bodyOf(byId, UploadView).id]) {
    assert.is((await createHttpClient(api.url).request('DELETE', '/upload', { body, headers })).status, 404)
    assert.is((await client.request('DELETE', '/upload', { body, headers })).status, 200)
  }
  assert.equal(await list(), [])
  for (const body of ['', 'x', '{', '{}', '[]', '{"uploads":[]}', '{"id":"x"}'])
    assert.is((await client.request('DELETE', '/upload', { body, headers })).status, 400, body)
})

test('a request without a body but with a Content-Type is like one without', async () => {
  const { hostname, port } = new URL(api.url)
  for (const [type, framing] of [
    ['application/json', []],
    ['application/json', ['content-length: 0']],
    ['application/json', ['transfer-encoding: chunked']],
    ['application/x-www-form-urlencoded', ['content-length: 0']],
    ['text/plain', []],
  ] as const) {
    const { id } = await oneOf(sendForm([{ name: 'f', filename: 'a', bytes: 'x' }]))
    const socket = connect(Number(port), hostname)
    const head = [
      `DELETE /uploads/${id} HTTP/1.1`,
      'host: localhost',
      `cookie: ${client.cookie}`,
      'connection: close',
    ]
    socket.write([...head, `content-type: ${type}`, ...framing, '', ''].join('\r\n'))
    if (framing[0]?.startsWith('transfer')) socket.write('0\r\n\r\n')
    const [answer] = await once(socket, 'data')
    assert.match(String(answer), /^HTTP\/1.1 200/, type)
    socket.destroy()
  }
  const json = { 'content-type': 'application/json' }
  assert.is((await client.request('POST', '/uploads', { body: '', headers: json })).status, 400)
  assert.is(
    (await client.request('POST', '/uploads', { body: 'a=b', headers: { 'content-type': 'text/plain' } }))
      .status,
    415,
  )
  assert.is(
    (await client.request('POST', '/none', { body: 'a=b', headers: { 'content-type': 'text/plain' } }))
      .status,
    404,
  )
})

test('SHA-256 is taken in capitals', async () => {
  const sha256 = createHash('sha256').update('x').digest('hex').toUpperCase()
  await oneOf(
    sendForm([
      { name: 'sha256', value: sha256 },
      { name: 'f', filename: 'a', bytes: 'x' },
    ]),
  )
  await oneOf(client.request('POST', `/upload?filename=a&sha256=${sha256}`, { body: 'x' }))
})

test.run()
