import { createHash } from 'node:crypto'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Announced } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce, formOf, multipartOf, putOf, readUpload, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { tusMetadata } from '../../support/tus-client.ts'

const test = suite('names and types')
const MiB = 1024 ** 2
let api: ApiInstances
let client: HttpClient

test.before(async () => {
  api = await startApiInstances()
  client = createHttpClient(api.url)
  await client.get('/session')
})
test.after(() => api.close())

const names: [what: string, filename: string][] = [
  ['255 Chinese characters', `${'漢'.repeat(251)}.jpg`],
  ['80 Hangul syllables in NFD', '각'.repeat(80).normalize('NFD')],
  ['255 emoji', '😀'.repeat(255)],
]
const bytes = new TextEncoder().encode('a photo')

/** Sends a small file, and returns its id. S3 has the bytes, unless they are sent in parts. */
const ways: [way: string, send: (filename: string, contentType: string) => Promise<string>][] = [
  [
    'a form',
    async (filename, contentType) => {
      const announced = await announce(client, bytes.length, { filename, contentType })
      assert.is((await sendForm(formOf(announced), bytes)).status, 201)
      return announced.id
    },
  ],
  [
    'a PUT',
    async (filename, contentType) => {
      const announced = await announce(client, bytes.length, { filename, contentType, transport: 'put' })
      const { url, headers } = putOf(announced)
      assert.is((await fetch(url, { method: 'PUT', headers, body: bytes })).status, 200)
      return announced.id
    },
  ],
  [
    'parts',
    async (filename, contentType) => {
      const announced = await announce(client, 9 * MiB, { filename, contentType })
      assert.is(multipartOf(announced).partCount, 2)
      return announced.id
    },
  ],
  [
    'a direct upload of a raw body',
    (filename, contentType) =>
      idOf(
        client.request('POST', `/upload?${new URLSearchParams({ filename })}`, {
          body: bytes,
          headers: { 'content-type': contentType },
        }),
      ),
  ],
  [
    'a direct upload of a form',
    (filename, contentType) => {
      const form = `--b\r\nContent-Disposition: form-data; name="f"; filename="${filename}"\r\nContent-Type: ${contentType}\r\n\r\nx\r\n--b--\r\n`
      const headers = { 'content-type': 'multipart/form-data; boundary=b' }
      return idOf(client.request('POST', '/upload', { body: form, headers }))
    },
  ],
  [
    'tus',
    async (filename, filetype) => {
      const { headers, status } = await client.request('POST', '/tus/', {
        headers: {
          'tus-resumable': '1.0.0',
          'upload-length': '7',
          'upload-metadata': tusMetadata({ filename, filetype }),
        },
      })
      assert.is(status, 201)
      return headers.get('location')?.split('/').at(-1) ?? ''
    },
  ],
  [
    "Uppy's form",
    async (filename, type) => {
      const query = new URLSearchParams({ filename, type, 'metadata[size]': '7' })
      const { status, body } = await client.get(`/uppy/s3/params?${query}`)
      assert.is(status, 200, JSON.stringify(body))
      const key = /"key":"([^"]+)"/.exec(JSON.stringify(body))?.[1]
      return key?.split('/').at(-1) ?? ''
    },
  ],
]

async function idOf(sending: Promise<HttpResponse>): Promise<string> {
  const response = await sending
  assert.is(response.status, 201, JSON.stringify(response.body))
  return bodyOf(response, UploadView).id
}

for (const [way, send] of ways) {
  test(`names have up to 255 characters in each script: ${way}`, async () => {
    for (const [what, filename] of names) {
      const id = await send(filename, 'image/jpeg')
      assert.is((await readUpload(client, id)).filename, filename, what)
    }
  })

  test(`a declared type that is none becomes application/octet-stream: ${way}`, async () => {
    for (const [declared, stored] of [
      ['image', 'application/octet-stream'],
      ['image/*', 'application/octet-stream'],
      ['', 'application/octet-stream'],
      ['text/plain; charset=utf-8', 'text/plain; charset=utf-8'],
    ] as const) {
      const id = await send('a', declared)
      // tus and Uppy have types of their own for files without one.
      assert.is((await readUpload(client, id)).contentType, stored, declared)
    }
  })
}

test('an original of a long name is found in S3 when Redis has lost it', async () => {
  const ids = await Promise.all(names.map(([, filename]) => ways[0]?.[1](filename, 'image/jpeg') ?? ''))
  await api.redis.del(...(await api.redis.keys(`${api.prefix}:*`)))
  for (const [number, [what, filename]] of names.entries())
    assert.is((await readUpload(client, ids[number] ?? '')).filename, filename, what)
})

test('S3 refuses a form with another long name than the announced one', async () => {
  const announced = await announce(client, 7, { filename: '漢'.repeat(255) })
  const refused = await sendForm(formOf(announced), bytes, { 'x-amz-meta-filename': 'x' })
  assert.is(refused.status, 403)
})

test('a name of 256 characters, and a name with metadata over the limit, are refused', async () => {
  for (const [filename, metadata] of [
    ['漢'.repeat(256), {}],
    ['漢'.repeat(255), Object.fromEntries(['a', 'b', 'c'].map((name) => [name, '漢'.repeat(256)]))],
  ] as const) {
    const response = await client.post('/uploads', { filename, contentType: 'a/b', size: 1, metadata })
    assert.is(response.status, 400)
    assert.is(bodyOf(response, Problem).code, 'invalid_request')
  }
})

test('SHA-256 is announced in capitals, and a type not at all', async () => {
  const sha256 = createHash('sha256').update(bytes).digest('hex').toUpperCase()
  const response = await client.post('/uploads', { filename: 'a', size: bytes.length, sha256 })
  const announced = bodyOf(response, Announced)
  assert.is((await sendForm(formOf(announced), bytes)).status, 201)
  assert.is((await readUpload(client, announced.id)).contentType, 'application/octet-stream')
})

test('an empty file is announced and sent by form and by PUT', async () => {
  const form = await announce(client, 0)
  assert.is((await sendForm(formOf(form), new Uint8Array(1))).status, 400)
  assert.is((await sendForm(formOf(form), new Uint8Array())).status, 201)
  const put = await announce(client, 0, { transport: 'put' })
  const { url, headers } = putOf(put)
  assert.is((await fetch(url, { method: 'PUT', headers, body: new Uint8Array() })).status, 200)
  for (const { id } of [form, put]) assert.is((await readUpload(client, id)).size, 0)
})

test.run()
