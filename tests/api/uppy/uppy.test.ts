import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { readUpload, sendForm, sendPart } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('Companion protocol for Uppy')
const MiB = 1024 ** 2
const reader = newApiKey('acme', ['uploads:read'])
let api: ApiInstances

const Params = Type.Object({
  method: Type.Literal('POST'),
  url: Type.String(),
  fields: Type.Record(Type.String(), Type.String()),
})
const Opened = Type.Object({ uploadId: Type.String(), key: Type.String() })
const Signed = Type.Object({ url: Type.String() })
const Parts = Type.Array(
  Type.Object({ PartNumber: Type.Integer(), ETag: Type.String(), Size: Type.Integer() }),
)

test.before(async () => {
  api = await startApiInstances({ environment: { API_KEYS: reader.entry } })
})
test.after(() => api.close())

/** Returns the path of Uppy's request for a form. */
function paramsPath(metadata: Record<string, string>): string {
  const entries = Object.entries(metadata).map(([name, value]) => [`metadata[${name}]`, value])
  const query = new URLSearchParams({
    filename: 'photo.jpg',
    type: 'image/jpeg',
    ...Object.fromEntries(entries),
  })
  return `/uppy/s3/params?${query}`
}

/** The fields that Uppy adds to a file's `meta`. */
const uppyMeta = { name: 'photo.jpg', type: 'image/jpeg', relativePath: null }

async function openMultipart(client: HttpClient, size: number) {
  const body = { filename: 'film.mp4', type: 'video/mp4', metadata: { ...uppyMeta, size } }
  return bodyOf(await client.post('/uppy/s3/multipart', body), Opened)
}

async function uploadsOf(client: HttpClient) {
  return bodyOf(await client.get('/uploads'), UploadPage).uploads
}

test("Uppy's form is signed for the fields of meta and for the exact size", async () => {
  const client = createHttpClient(api.url)
  const response = await client.get(
    paramsPath({ name: 'photo.jpg', relativePath: 'null', size: '7', preset: 'default', album: 'summer' }),
  )
  // It opens an upload, so a stored copy would be used for another file.
  assert.is(response.headers.get('cache-control'), 'no-store')
  const { url, fields } = bodyOf(response, Params)
  const [awaiting] = await uploadsOf(client)
  assert.ok(awaiting)
  assert.equal(
    [awaiting.state, awaiting.filename, awaiting.size, awaiting.contentType],
    ['awaiting', 'photo.jpg', 7, 'image/jpeg'],
  )
  assert.equal([awaiting.preset, awaiting.metadata], ['default', { album: 'summer' }])
  assert.match(fields['key'] ?? '', new RegExp(`^originals/[^/]+/${awaiting.id}$`))

  assert.is((await sendForm({ kind: 'form', url, fields }, new Uint8Array(8))).status, 400)
  assert.is((await sendForm({ kind: 'form', url, fields }, new Uint8Array(7))).status, 201)
})

test('a request of Uppy without a size, or with invalid fields, is refused and creates no upload', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  const cases: [string, number, string][] = [
    [paramsPath({}), 400, 'invalid_request'],
    [paramsPath({ size: 'much' }), 400, 'invalid_request'],
    [paramsPath({ size: '-1' }), 400, 'invalid_request'],
    [paramsPath({ size: '7', preset: 'unknown' }), 400, 'preset_unknown'],
    [paramsPath({ size: '7', 'a b': 'invalid name' }), 400, 'invalid_request'],
    [paramsPath({ size: String(100 * MiB + 1) }), 413, 'upload_too_large'],
    ['/uppy/s3/params?filename=a&filename=b&type=text/plain&metadata[size]=1', 400, 'invalid_request'],
    ['/uppy/s3/params', 400, 'invalid_request'],
  ]
  for (const [path, status, code] of cases) {
    const response = await client.get(path)
    assert.equal([response.status, bodyOf(response, Problem).code], [status, code], path)
  }
  const unsized = await client.get(paramsPath({}))
  assert.match(bodyOf(unsized, Problem).detail, /docs\/uppy\.md/)
  const body = { filename: 'film.mp4', type: 'video/mp4', metadata: uppyMeta }
  assert.is((await client.post('/uppy/s3/multipart', body)).status, 400)
  assert.equal(await uploadsOf(client), [])
})

test('a page of another site and an API key without the write scope cannot create an upload', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  const path = paramsPath({ size: '7' })
  const crossSite = [{ 'sec-fetch-site': 'cross-site' }, { origin: 'https://elsewhere.example' }]
  for (const headers of crossSite) {
    const response = await client.get(path, { headers })
    assert.equal([response.status, bodyOf(response, Problem).code], [403, 'cross_site'])
  }
  assert.is((await client.request('HEAD', path)).status, 404)
  const { uploadId } = await openMultipart(client, 6 * MiB)
  const authorization = `Bearer ${reader.key}`
  for (const writePath of [path, `/uppy/s3/multipart/${uploadId}/1`]) {
    const response = await client.get(writePath, { headers: { authorization } })
    assert.equal([response.status, bodyOf(response, Problem).code], [403, 'forbidden'])
  }
  assert.is((await uploadsOf(client)).length, 1)
})

test("Uppy's parts are stored under the upload's key, whatever key a request contains", async () => {
  const client = createHttpClient(api.url)
  const size = 5 * MiB + 1
  const { uploadId, key } = await openMultipart(client, size)
  const [awaiting] = await uploadsOf(client)
  assert.equal([awaiting?.id, awaiting?.state, awaiting?.size], [uploadId, 'awaiting', size])

  const path = `/uppy/s3/multipart/${uploadId}`
  const otherKey = originalKey({ owner: 's_0', id: uploadId })
  const sizes = [5 * MiB, 1]
  const etags: string[] = []
  for (const [index, bytes] of sizes.entries()) {
    const query = new URLSearchParams({ key: otherKey })
    const { url } = bodyOf(await client.get(`${path}/${index + 1}?${query}`), Signed)
    assert.ok(new URL(url).pathname.endsWith(`/${key}`), url)
    for (const wrong of [bytes + 1, bytes - 1]) {
      assert.is((await fetch(url, { method: 'PUT', body: new Uint8Array(wrong) })).status, 403)
    }
    etags.push(await sendPart(url, new Uint8Array(bytes)))
  }
  assert.is((await client.get(`${path}/3`)).status, 400)
  assert.equal(
    bodyOf(await client.get(path), Parts).map(({ PartNumber, Size }) => [PartNumber, Size]),
    [
      [1, 5 * MiB],
      [2, 1],
    ],
  )
  const claimParts = (ETag: string | undefined) => ({
    parts: [
      { PartNumber: 1, ETag: etags[0] },
      { PartNumber: 2, ETag },
    ],
  })
  const wrong = await client.post(`${path}/complete`, claimParts('another'))
  assert.equal([wrong.status, bodyOf(wrong, Problem).code], [409, 'parts_mismatch'])
  for (const _request of ['first', 'repeated']) {
    const completed = await client.post(`${path}/complete`, claimParts(etags[1]))
    assert.is(completed.status, 200)
    assert.equal(completed.body, { location: `http://localhost:3000/uploads/${uploadId}`, key })
  }
  assert.is((await readUpload(client, uploadId)).state, 'received')

  const lateAbort = await client.delete(path)
  assert.equal([lateAbort.status, bodyOf(lateAbort, Problem).code], [409, 'upload_closed'])
  assert.is((await readUpload(client, uploadId)).state, 'received')
})

test('an upload that Uppy aborts is erased', async () => {
  const client = createHttpClient(api.url)
  const { uploadId } = await openMultipart(client, 6 * MiB)
  const path = `/uppy/s3/multipart/${uploadId}`
  const { url } = bodyOf(await client.get(`${path}/1`), Signed)
  assert.is((await client.delete(path)).status, 200)
  assert.is((await client.get(`/uploads/${uploadId}`)).status, 404)
  assert.is((await client.get(path)).status, 404)
  assert.is((await fetch(url, { method: 'PUT', body: new Uint8Array(5 * MiB) })).status, 404)
})

test.run()
