import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { SessionView } from '@millrace/api/identity/session-routes.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { collectRoutes, type Route } from '../../support/app-routes.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('anonymous uploads')
const { key, entry } = newApiKey('acme', ['uploads:read', 'uploads:write'])
const announcement = { filename: 'a.txt', contentType: 'text/plain', size: 7 }
let open: ApiInstances
let api: ApiInstances
let routes: Route[]

test.before(async () => {
  open = await startApiInstances()
  const { SESSION_KEYS, REDIS_PREFIX } = open.environment
  const environment = { SESSION_KEYS, REDIS_PREFIX, API_KEYS: entry, ANONYMOUS_UPLOADS: 'off' }
  ;({ started: api, routes } = await collectRoutes(() => startApiInstances({ environment })))
})
test.after(async () => {
  await api.close()
  await open.close()
})

/** Routes that write for sessions although anonymous uploads are off. None of them sends, changes or processes a file. */
const withoutKey = [
  'PUT /session',
  'DELETE /session',
  'PUT /session/key',
  'DELETE /session/key',
  'DELETE /uploads/:id',
  'DELETE /upload',
  'PATCH /uploads/:id',
  'POST /uploads/delete',
]

function writes({ method, scope }: Route): boolean {
  return scope === 'uploads:write' || (scope === undefined && !['GET', 'HEAD', 'OPTIONS'].includes(method))
}

function pathOf(url: string): string {
  return url.replace(':id', newUploadId()).replace(':partNumber', '1')
}

function assertNeedsKey(response: HttpResponse, name: string): void {
  assert.is(response.status, 401, `${name}: ${response.status}`)
  assert.is(response.headers.get('www-authenticate'), 'Bearer', name)
  assert.equal(response.headers.getSetCookie(), [], name)
  // A response to HEAD has no body.
  if (response.body === '') return
  const { code, detail } = bodyOf(response, Problem)
  assert.is(code, 'unauthenticated', name)
  assert.match(detail, 'Authorization: Bearer')
  assert.match(detail, 'ANONYMOUS_UPLOADS')
}

test('with anonymous uploads off, every route that writes refuses requests without an API key', async () => {
  const writing = routes.filter(
    (route) => writes(route) && !withoutKey.includes(`${route.method} ${route.url}`),
  )
  const names = writing.map(({ method, url }) => `${method} ${url}`)
  for (const expected of [
    'POST /uploads',
    'POST /upload',
    'POST /tus',
    'PATCH /tus/:id',
    'POST /uploads/:id/parts',
    'POST /uploads/:id/complete',
    'POST /uploads/:id/reprocess',
    'GET /uppy/s3/params',
    'GET /uppy/s3/multipart/:id/:partNumber',
    'POST /uppy/s3/multipart',
    'POST /uppy/s3/multipart/:id/complete',
  ]) {
    assert.ok(names.includes(expected), `${expected} was not found among ${names.join(', ')}`)
  }
  const session = createHttpClient(api.url)
  await session.get('/session')
  for (const { method, url } of writing) {
    const headers = { 'tus-resumable': '1.0.0', 'upload-length': '5' }
    for (const client of [createHttpClient(api.url), createHttpClient(api.url, session.cookie)]) {
      assertNeedsKey(await client.request(method, pathOf(url), { headers }), `${method} ${url}`)
    }
  }
  assert.equal(await api.redis.keys(`${api.prefix}:{s-*`), [])
})

test('with anonymous uploads off, announcements, imports and files need an API key', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  const bodies = [announcement, { sourceUrl: 'https://example.org/a.png' }]
  const headers = { authorization: `Bearer ${key}`, 'idempotency-key': 'a' }
  for (const body of bodies) {
    assertNeedsKey(await client.post('/uploads', body), JSON.stringify(body))
    assertNeedsKey(await client.post('/uploads', body, { headers: { 'idempotency-key': 'a' } }), 'with a key')
  }
  const file = { body: 'hello', headers: { 'content-type': 'text/plain' } }
  assertNeedsKey(await client.request('POST', '/upload?filename=a.txt', file), 'POST /upload')
  assert.is((await client.post('/uploads', announcement, { headers })).status, 201)
})

test('with anonymous uploads off, a session has views and a label, and reads and erases its older uploads', async () => {
  const before = createHttpClient(open.url)
  const { id } = await announce(before, 7)
  const client = createHttpClient(api.url, before.cookie)
  assert.is((await client.put('/session', { user: 'Ada' })).status, 204)
  assert.is(bodyOf(await client.get('/session'), SessionView).user, 'Ada')
  const { uploads } = bodyOf(await client.get('/uploads'), UploadPage)
  assert.equal(
    uploads.map((upload) => upload.id),
    [id],
  )
  assert.is((await client.get(`/uploads/${id}`)).status, 200)
  assertNeedsKey(await client.post(`/uploads/${id}/reprocess`, {}), 'reprocess')
  // The two instances have different buckets, so nothing of it is found here.
  assert.is((await client.delete(`/uploads/${id}`)).status, 200)
  assert.is((await client.delete('/session')).status, 204)
})

test.run()
