import { createHash, randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { ListMultipartUploadsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { TokenView } from '@millrace/api/tenants/token-routes.ts'
import { Upload, type UploadOptions } from 'tus-js-client'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { createBearerClient } from '../../support/bearer-client.ts'
import { distinctBytes } from '../../support/distinct-bytes.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { sha256OfObject } from '../../support/object-hash.ts'
import { readUpload } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { patchTus, tusChecksum, tusMetadata, tusOffset } from '../../support/tus-client.ts'

const MiB = 1024 ** 2
const test = suite('what tus clients send')
const maker = newApiKey('acme', ['tokens'])
const sender = newApiKey('shop', ['uploads:read', 'uploads:write'])
const limits = { file: 18 * MiB, total: 24 * MiB }
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({
    environment: {
      API_KEYS: `${maker.entry},${sender.entry}`,
      MAX_UPLOAD_BYTES: String(limits.file),
      QUOTA_BYTES_TOTAL: String(limits.total),
    },
  })
})
test.after(() => api.close())

const idOf = (path: string) => path.slice(path.lastIndexOf('/') + 1)
const base64 = (text: string) => Buffer.from(text).toString('base64')
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

const post = (client: HttpClient, headers: Record<string, string>, body?: string) =>
  client.request('POST', '/tus/', {
    headers: { 'tus-resumable': '1.0.0', ...headers },
    ...(body !== undefined && { body }),
  })

const head = (client: HttpClient, path: string) =>
  client.request('HEAD', path, { headers: { 'tus-resumable': '1.0.0' } })

/** Creates an upload without a length. Returns its path. */
async function createUnsized(client: HttpClient): Promise<string> {
  const { status, headers } = await post(client, { 'upload-defer-length': '1' })
  assert.is(status, 201)
  return headers.get('location') ?? ''
}

/** The SHA-256 of an original's bytes. */
async function originalOf(id: string): Promise<string> {
  const bucket = { Bucket: api.bucket }
  const { Contents = [] } = await api.s3.send(new ListObjectsV2Command({ ...bucket, Prefix: 'originals/' }))
  const key = Contents.map(({ Key = '' }) => Key).find((key) => key.includes(id))
  return sha256OfObject(api.s3, { ...bucket, Key: key })
}

function* piecesOf(bytes: Buffer) {
  for (let start = 0; start < bytes.length; start += 6 * MiB) yield bytes.subarray(start, start + 6 * MiB)
}

/** Sends a file with tus-js-client. Returns the upload's id, and its requests with their headers about the length. */
async function sendWithTusJs(file: Buffer | Readable, options: UploadOptions) {
  const requests: string[] = []
  const url = await new Promise<string>((resolve, reject) => {
    const upload = new Upload(file, {
      endpoint: `${api.url}/tus/`,
      headers: { authorization: `Bearer ${sender.key}` },
      retryDelays: null,
      ...options,
      onAfterResponse(request, response) {
        const length = request.getHeader('Upload-Length') ?? '-'
        requests.push(`${request.getMethod()} ${length} ${response.getStatus()}`)
      },
      onSuccess: () => resolve(upload.url ?? ''),
      onError: reject,
    })
    upload.start()
  })
  return { id: idOf(url), requests }
}

test('Upload-Metadata is read in every form that has one meaning', async () => {
  const client = createHttpClient(api.url)
  const name = 'Grüße?>.txt'
  const url = Buffer.from(name).toString('base64url')
  assert.match(url, /[-_]/)
  for (const header of [
    // TUSKit, and several headers that Node joins.
    `filename ${base64(name)}, album ${base64('summer')}`,
    `  filename   ${base64(name)}  ,\talbum\t${base64('summer')},`,
    `filename ${base64(name).replaceAll('=', '')},album ${base64('summer').replaceAll('=', '')}`,
    `filename ${url},album ${url === '' ? '' : base64('summer')}`,
    `filename ${base64(name)},,album ${base64('summer')},album ${base64('summer')}`,
    `filename ${base64(name)},album ${base64('summer')},empty ,null`,
  ]) {
    const { status, headers } = await post(client, { 'upload-length': '5', 'upload-metadata': header })
    assert.is(status, 201, header)
    const path = headers.get('location') ?? ''
    const { filename, metadata } = await readUpload(client, idOf(path))
    assert.equal([filename, metadata], [name, { album: 'summer' }], header)
    const normalized = `filename ${base64(name)},album ${base64('summer')}`
    const told = (await head(client, path)).headers.get('upload-metadata')
    assert.is(told?.replace(',empty,null', ''), normalized)
  }
  // Values need not be UTF-8: HEAD returns the same bytes.
  for (const header of [undefined, '', ' ,', 'x /w==']) {
    const sent = header === undefined ? {} : { 'upload-metadata': header }
    const { status, headers } = await post(client, { 'upload-length': '5', ...sent })
    assert.is(status, 201, header)
    const told = (await head(client, headers.get('location') ?? '')).headers.get('upload-metadata')
    assert.is(told, header === 'x /w==' ? header : null)
  }
})

test('Upload-Metadata with several meanings is refused, and the problem tells the pair', async () => {
  const client = createHttpClient(api.url)
  for (const [header, problem] of [
    ['a YQ==,b YQ== YQ==', 'has more than a name and a value between two commas: pair 2, b'],
    ['a Y', 'has a value that is not base64: pair 1, a'],
    ['a YQ=Q', 'has a value that is not base64: pair 1, a'],
    ['filename photo.jpg', 'has a value that is not base64: pair 1, filename'],
    ['a YQ==,a Yg==', 'has several values for one name: pair 2, a'],
    ['gr\u00fc\u00dfe YQ==', 'has a name that is not ASCII: pair 1'],
  ]) {
    const response = await post(client, { 'upload-length': '5', 'upload-metadata': header ?? '' })
    const { status, code, detail, errors } = bodyOf(response, Problem)
    assert.equal([status, code, detail], [400, 'invalid_request', `Upload-Metadata ${problem}.`], header)
    assert.equal(errors, [{ field: 'upload-metadata', message: problem }])
  }
})

test('metadata that Uppy sends of a long name in a deep folder is accepted', async () => {
  const client = createHttpClient(api.url)
  const name = '写'.repeat(200)
  const fields = {
    relativePath: `${'フォルダ/'.repeat(250)}${name}`,
    name,
    type: 'image/png',
    filename: name,
  }
  const header = tusMetadata({ ...fields, filetype: 'image/png' })
  assert.ok(header.length > 6_000)
  const { status, headers } = await post(client, { 'upload-length': '5', 'upload-metadata': header })
  assert.is(status, 201)
  assert.is((await readUpload(client, idOf(headers.get('location') ?? ''))).filename, name)
})

test('tus-js-client sends streams of unknown length', async () => {
  const client = createBearerClient(api.url, sender.key)
  const deferred = { uploadLengthDeferred: true, chunkSize: 6 * MiB }
  const bytes = randomBytes(17 * MiB + 5)
  const { id, requests } = await sendWithTusJs(Readable.from(piecesOf(bytes)), deferred)
  assert.equal(requests, ['POST - 201', 'PATCH - 204', 'PATCH - 204', `PATCH ${bytes.length} 204`])
  const sent = await readUpload(client, id)
  assert.equal([sent.state, sent.size], ['received', bytes.length])
  assert.is(await originalOf(id), sha256(bytes))
  await client.delete(`/uploads/${id}`)
  // A stream without bytes.
  const path = await createUnsized(client)
  const empty = await client.request('PATCH', path, {
    headers: {
      ...{ 'tus-resumable': '1.0.0', 'content-type': 'application/offset+octet-stream' },
      ...{ 'upload-offset': '0', 'upload-length': '0' },
    },
  })
  assert.equal([empty.status, empty.headers.get('upload-offset')], [204, '0'])
  const { state, size } = await readUpload(client, idOf(path))
  assert.equal([state, size], ['received', 0])
  assert.is(await originalOf(idOf(path)), sha256(new Uint8Array()))
  const { Uploads = [] } = await api.s3.send(new ListMultipartUploadsCommand({ Bucket: api.bucket }))
  assert.is(Uploads.length, 0)
})

test('an empty file is a file', async () => {
  const client = createBearerClient(api.url, sender.key)
  const { id, requests } = await sendWithTusJs(Buffer.alloc(0), { metadata: { filename: 'empty.txt' } })
  assert.equal(requests, ['POST 0 201'])
  const { state, size, filename } = await readUpload(client, id)
  assert.equal([state, size, filename], ['received', 0, 'empty.txt'])
  assert.is(await originalOf(id), sha256(new Uint8Array()))
  const { status, headers } = await head(client, `/tus/${id}`)
  assert.equal([status, headers.get('upload-offset'), headers.get('upload-length')], [200, '0', '0'])
})

test('parallel uploads are refused, and the problem tells what to change', async () => {
  const error = await sendWithTusJs(Buffer.alloc(10), { parallelUploads: 2 }).catch((error: Error) => error)
  assert.match(String(error), 'Disable parallel uploads in the tus client')
  for (const concat of ['partial', 'final;/tus/a /tus/b']) {
    const response = await post(createHttpClient(api.url), { 'upload-length': '5', 'upload-concat': concat })
    const { status, code, detail } = bodyOf(response, Problem)
    assert.equal([status, code], [400, 'invalid_request'])
    assert.match(detail, 'Concatenation extension is not (yet) supported. Disable parallel uploads')
  }
})

test('a request without Tus-Resumable is refused with the versions that are supported', async () => {
  const client = createHttpClient(api.url)
  const response = await client.request('POST', '/tus/', { headers: { 'upload-length': '5' } })
  const { status, code } = bodyOf(response, Problem)
  assert.equal([status, code], [412, 'tus_version_unsupported'])
  assert.is(response.headers.get('tus-version'), '1.0.0')
})

test('the length of an upload is declared once, and limits its bytes from then on', async () => {
  const client = createHttpClient(api.url)
  const bytes = distinctBytes(9 * MiB)
  const path = await createUnsized(client)
  const patch = (start: number, end: number, headers: Record<string, string> = {}) =>
    patchTus(client, api.url + path, { offset: start, bytes: bytes.subarray(start, end), headers })
  const length = (value: number | string) => ({ 'upload-length': String(value) })
  const lengths = async () => {
    const { headers } = await head(client, path)
    return ['upload-offset', 'upload-length', 'upload-defer-length'].map((name) => headers.get(name))
  }

  assert.equal(await lengths(), ['0', null, '1'])
  assert.is((await patch(0, 100)).status, 204)
  assert.equal(await lengths(), ['100', null, '1'])
  const withChecksum = { 'upload-checksum': tusChecksum(bytes.subarray(100, 8 * MiB + 10)) }
  assert.is((await patch(100, 8 * MiB + 10, withChecksum)).status, 204)
  assert.equal(await lengths(), [String(8 * MiB + 10), null, '1'])
  const offset = 8 * MiB + 10
  for (const [value, status, code] of [
    ['x', 400, 'invalid_request'],
    ['-1', 400, 'invalid_request'],
    [offset - 1, 400, 'invalid_request'],
    [limits.file + 1, 413, 'upload_too_large'],
  ] satisfies [number | string, number, string][]) {
    const refused = await patch(offset, offset, length(value))
    assert.equal([refused.status, refused.code], [status, code], String(value))
    assert.equal(await lengths(), [String(offset), null, '1'])
  }
  // A request with another offset declares nothing.
  assert.is((await patch(0, 1, length(9 * MiB))).status, 409)
  assert.equal(await lengths(), [String(offset), null, '1'])

  assert.is((await patch(offset, offset + 1, length(9 * MiB))).status, 204)
  assert.equal(await lengths(), [String(offset + 1), String(9 * MiB), null])
  assert.is((await patch(offset + 1, offset + 1, length(9 * MiB - 1))).status, 400)
  const tooLong = { offset: offset + 1, bytes: distinctBytes(MiB) }
  assert.is((await patchTus(client, api.url + path, tooLong)).status, 413)
  assert.is((await patch(offset + 1, 9 * MiB, length(9 * MiB))).status, 204)
  assert.equal(await lengths(), [String(9 * MiB), String(9 * MiB), null])
  const { state, size } = await readUpload(client, idOf(path))
  assert.equal([state, size], ['received', 9 * MiB])
  assert.is(await originalOf(idOf(path)), sha256(bytes))
})

test('an upload without a length is created with bytes, and its length is declared in a request without bytes', async () => {
  const client = createHttpClient(api.url)
  const type = { 'content-type': 'application/offset+octet-stream' }
  const created = await post(client, { 'upload-defer-length': '1', ...type }, 'hello')
  assert.equal([created.status, created.headers.get('upload-offset')], [201, '5'])
  const path = created.headers.get('location') ?? ''
  const last = { offset: 5, bytes: new Uint8Array(), headers: { 'upload-length': '5' } }
  const response = await patchTus(client, api.url + path, last)
  assert.equal([response.status, response.offset], [204, 5])
  const { state, size } = await readUpload(client, idOf(path))
  assert.equal([state, size], ['received', 5])
  assert.is(await originalOf(idOf(path)), sha256(Buffer.from('hello')))
})

test('a file of unknown length never exceeds a limit, and its quota grows with its bytes', async () => {
  const client = createHttpClient(api.url)
  const reserved = async () => {
    const [key = ''] = (await api.redis.keys(`${api.prefix}:{s-*}:quota:held`)).filter(
      (key) => !known.has(key),
    )
    return Number(Object.values(await api.redis.hgetall(key))[0])
  }
  const known = new Set(await api.redis.keys(`${api.prefix}:{s-*}:quota:held`))
  const path = await createUnsized(client)
  assert.is(await reserved(), 0)
  const url = api.url + path
  assert.is((await patchTus(client, url, { offset: 0, bytes: distinctBytes(9 * MiB) })).offset, 9 * MiB)
  assert.is(await reserved(), 9 * MiB)
  // More than the limit of a file, in one request that declares its length and in one that does not.
  const tooMany = distinctBytes(10 * MiB)
  const refused = await patchTus(client, url, { offset: 9 * MiB, bytes: tooMany })
  assert.equal([refused.status, refused.code], [413, 'upload_too_large'])
  const stream = await fetch(url, {
    method: 'PATCH',
    headers: {
      ...{ 'tus-resumable': '1.0.0', 'content-type': 'application/offset+octet-stream' },
      ...{ 'upload-offset': String(9 * MiB), cookie: client.cookie ?? '' },
    },
    body: new Blob([tooMany]).stream(),
    duplex: 'half',
  })
  assert.is(stream.status, 413)
  await stream.body?.cancel()
  const offset = await tusOffset(client, path)
  assert.ok(offset <= limits.file && (await reserved()) <= limits.file)

  // The quota of all files together.
  const another = await createUnsized(client)
  const full = await patchTus(client, api.url + another, { offset: 0, bytes: distinctBytes(17 * MiB) })
  assert.equal([full.status, full.code], [413, 'quota_exceeded'])
  assert.ok((await tusOffset(client, another)) + offset <= limits.total)
  await client.request('DELETE', path, { headers: { 'tus-resumable': '1.0.0' } })
  const rest = await tusOffset(client, another)
  const last = { offset: rest, bytes: distinctBytes(10), headers: { 'upload-length': String(rest + 10) } }
  assert.is((await patchTus(client, api.url + another, last)).status, 204)
  assert.is((await readUpload(client, idOf(another))).size, rest + 10)
})

test('limits of an upload token apply to files of unknown length', async () => {
  const tokenOf = async (fields: object) => {
    const response = await createBearerClient(api.url, maker.key).post('/tokens', {
      ...{ user: 'u', expiresIn: 600, scopes: ['uploads:read', 'uploads:write'] },
      ...fields,
    })
    return createBearerClient(api.url, bodyOf(response, TokenView).token)
  }
  const small = await tokenOf({ maxFileBytes: 100 })
  const { headers } = await post(small, { 'upload-defer-length': '1' })
  const url = headers.get('location') ?? ''
  const patch = (size: number, length?: number) =>
    small.request('PATCH', url, {
      headers: {
        ...{ 'tus-resumable': '1.0.0', 'content-type': 'application/offset+octet-stream' },
        'upload-offset': '0',
        ...(length !== undefined && { 'upload-length': String(length) }),
      },
      body: 'x'.repeat(size),
    })
  for (const response of [await patch(101), await patch(5, 101)]) {
    const { code, detail } = bodyOf(response, Problem)
    assert.equal([response.status, code], [413, 'upload_too_large'])
    assert.match(detail, 'maxFileBytes of the upload token')
  }
  assert.is((await patch(100, 100)).status, 204)
  const counted = await post(await tokenOf({ maxBytes: 1_000 }), { 'upload-defer-length': '1' })
  const { code, detail } = bodyOf(counted, Problem)
  assert.equal([counted.status, code], [403, 'token_limit'])
  assert.match(detail, 'maxBytes of the upload token requires Upload-Length')
})

test.run()
