import { newApiKey, readApiKeys } from '@millrace/api/credentials/api-keys.ts'
import { SessionView } from '@millrace/api/identity/session-routes.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { EnvironmentError } from '@millrace/shared/service/environment.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { openConnection } from '../../support/raw-connection.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('authorization')
const reader = newApiKey('acme', ['uploads:read'])
const writer = newApiKey('acme', ['uploads:read', 'uploads:write'])
const other = newApiKey('other', ['uploads:read', 'uploads:write', 'admin'])
let api: ApiInstances

test.before(async () => {
  const entries = [reader, writer, other].map(({ entry }) => entry).join(',')
  api = await startApiInstances({ environment: { API_KEYS: entries } })
})
test.after(() => api.close())

const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
const announcement = { filename: 'a.txt', contentType: 'text/plain', size: 7 }

test('a request with an API key acts for its owner and gets no cookie', async () => {
  const client = createHttpClient(api.url)
  const announced = await client.post('/uploads', announcement, bearer(writer.key))
  assert.is(announced.status, 201)
  assert.equal(announced.headers.getSetCookie(), [])
  const listed = bodyOf(await client.get('/uploads', bearer(reader.key)), UploadPage).uploads
  assert.is(listed.length, 1)
  const foreign = bodyOf(await client.get('/uploads', bearer(other.key)), UploadPage).uploads
  assert.equal(foreign, [])
  const path = `/uploads/${listed[0]?.id}`
  assert.is((await client.get(path, bearer(reader.key))).status, 200)
  assert.is((await client.get(path, bearer(other.key))).status, 404)
  assert.is((await client.get(path)).status, 404)
})

test('an API key without the required scope is refused', async () => {
  const response = await createHttpClient(api.url).post('/uploads', announcement, bearer(reader.key))
  assert.is(response.status, 403)
  assert.is(bodyOf(response, Problem).code, 'forbidden')
})

test('an unknown API key is refused, even with a valid cookie', async () => {
  const client = createHttpClient(api.url)
  await announce(client, 7)
  const invalid = [
    `Bearer ${writer.key}x`,
    `Bearer ${writer.key.slice(0, -1)}`,
    `Bearer ${writer.entry.split('/')[2]}`,
    `Basic ${writer.key}`,
    'Bearer',
    'Bearer ',
    'x'.repeat(4000),
  ]
  for (const authorization of invalid) {
    const response = await client.get('/uploads', { headers: { authorization } })
    assert.is(response.status, 401, authorization)
    assert.is(response.headers.get('www-authenticate'), 'Bearer')
    assert.is(bodyOf(response, Problem).code, 'unauthenticated')
  }
})

test("cross-site requests cannot write with a browser's session", async () => {
  const client = createHttpClient(api.url)
  await announce(client, 7)
  const crossSite: Record<string, string>[] = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://localhost:3001' },
    { origin: 'ftp://localhost:3000' },
    { origin: 'http://localhost:3000, https://evil.example' },
    { origin: '' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' },
  ]
  for (const headers of crossSite) {
    const writes = [
      await client.post('/uploads', announcement, { headers }),
      await client.request('PUT', '/session', { json: { user: 'x' }, headers }),
      await client.request('DELETE', '/session', { headers }),
    ]
    for (const response of writes) {
      assert.is(response.status, 403, JSON.stringify(headers))
      assert.is(bodyOf(response, Problem).code, 'cross_site')
    }
    assert.is((await client.get('/uploads', { headers })).status, 200)
  }
  const own: Record<string, string>[] = [
    { origin: 'http://localhost:3000' },
    { origin: api.url },
    { 'sec-fetch-site': 'same-origin' },
    { 'sec-fetch-site': 'none' },
  ]
  for (const headers of own) assert.is((await client.post('/uploads', announcement, { headers })).status, 201)
  assert.is(bodyOf(await client.get('/session'), SessionView).user, null)
})

test('an https deployment accepts no http:// origin, also with its own host', async () => {
  const secure = await startApiInstances({ environment: { PUBLIC_ORIGIN: 'https://files.example' } })
  const port = Number(new URL(secure.url).port)
  const write = async (host: string, origin: string) => {
    const connection = await openConnection(port)
    connection.send(
      `DELETE /session HTTP/1.1\r\nhost: ${host}\r\norigin: ${origin}\r\nconnection: close\r\n\r\n`,
    )
    return Number((await connection.closed).split(' ')[1])
  }
  assert.is(await write('files.example', 'https://files.example'), 204)
  assert.is(await write('localhost:3000', 'https://localhost:3000'), 204)
  assert.is(await write('files.example', 'http://files.example'), 403)
  assert.is(await write('localhost:3000', 'http://localhost:3000'), 403)
  await secure.close()
})

test('a request without a host is not of the origin null', async () => {
  const connection = await openConnection(Number(new URL(api.url).port))
  connection.send('DELETE /session HTTP/1.0\r\norigin: null\r\n\r\n')
  assert.match(await connection.closed, /^HTTP\/1\.1 403 /)
})

test('a request with an API key may come from any origin, because browsers do not add keys themselves', async () => {
  const headers = { ...bearer(writer.key).headers, origin: 'https://elsewhere.example' }
  assert.is((await createHttpClient(api.url).post('/uploads', announcement, { headers })).status, 201)
})

test('a new API key comes with an entry for API_KEYS that has its hash only', () => {
  const { key, entry } = newApiKey('acme', ['uploads:read'])
  assert.match(key, /^mr_[A-Za-z0-9_-]{43}$/)
  assert.not.ok(entry.includes(key))
})

test('an invalid entry of API_KEYS is refused by its number, without its hash in the error', () => {
  const hash = 'ab'.repeat(32)
  const invalid = [
    'acme',
    `acme/${hash}`,
    `acme/root/${hash}`,
    `s-1/admin/${hash}`,
    `acme/admin/${hash}0`,
    `//${hash}`,
  ]
  for (const entry of invalid) {
    assert.throws(
      () => readApiKeys(`ok/admin/${hash},${entry}`),
      (error: unknown) =>
        error instanceof EnvironmentError && /entry 2/.test(error.message) && !error.message.includes(hash),
    )
  }
  assert.equal(readApiKeys(''), [])
})

test.run()
