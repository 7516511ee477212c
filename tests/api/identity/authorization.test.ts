import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { Problem } from '@millrace/api/http/problem.ts'
import { newApiKey, readApiKeys } from '@millrace/api/identity/api-keys.ts'
import { SessionView } from '@millrace/api/identity/session-routes.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { EnvironmentError } from '@millrace/shared/service/environment.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
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

test('lets a key act for its owner, without a cookie', async () => {
  const client = createHttpClient(api.url)
  const made = await client.post('/uploads', announcement, bearer(writer.key))
  assert.is(made.status, 201)
  assert.equal(made.headers.getSetCookie(), [])
  const listed = bodyOf(await client.get('/uploads', bearer(reader.key)), UploadPage).uploads
  assert.is(listed.length, 1)
  const foreign = bodyOf(await client.get('/uploads', bearer(other.key)), UploadPage).uploads
  assert.equal(foreign, [])
  const path = `/uploads/${listed[0]?.id}`
  assert.is((await client.get(path, bearer(reader.key))).status, 200)
  assert.is((await client.get(path, bearer(other.key))).status, 404)
  assert.is((await client.get(path)).status, 404)
})

test('refuses what the key has no scope for', async () => {
  const answer = await createHttpClient(api.url).post('/uploads', announcement, bearer(reader.key))
  assert.is(answer.status, 403)
  assert.is(bodyOf(answer, Problem).code, 'forbidden')
})

test('refuses keys that it does not know, and does not fall back to the cookie', async () => {
  const client = createHttpClient(api.url)
  await announce(client, 7)
  const wrong = [
    `Bearer ${writer.key}x`,
    `Bearer ${writer.key.slice(0, -1)}`,
    `Bearer ${writer.entry.split('/')[2]}`,
    `Basic ${writer.key}`,
    'Bearer',
    'Bearer ',
    'x'.repeat(4000),
  ]
  for (const authorization of wrong) {
    const answer = await client.get('/uploads', { headers: { authorization } })
    assert.is(answer.status, 401, authorization)
    assert.is(answer.headers.get('www-authenticate'), 'Bearer')
    assert.is(bodyOf(answer, Problem).code, 'unauthenticated')
  }
})

test('keeps pages of other sites from acting with the session', async () => {
  const client = createHttpClient(api.url)
  await announce(client, 7)
  const crossSite: Record<string, string>[] = [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: 'http://localhost:3001' },
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
    for (const answer of writes) {
      assert.is(answer.status, 403, JSON.stringify(headers))
      assert.is(bodyOf(answer, Problem).code, 'cross_site')
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

test('lets a key act from anywhere, since no browser sends it by itself', async () => {
  const headers = { ...bearer(writer.key).headers, origin: 'https://elsewhere.example' }
  assert.is((await createHttpClient(api.url).post('/uploads', announcement, { headers })).status, 201)
})

test('makes keys of which only the hash is configured', () => {
  const { key, entry } = newApiKey('acme', ['uploads:read'])
  assert.match(key, /^mr_[A-Za-z0-9_-]{43}$/)
  assert.not.ok(entry.includes(key))
  const program = fileURLToPath(import.meta.resolve('@millrace/api/identity/create-api-key.ts'))
  const run = (...parameters: string[]) =>
    spawnSync(process.execPath, [program, ...parameters], { encoding: 'utf8' })
  const made = run('create', 'acme')
  assert.is(made.status, 0)
  const [, printed = ''] = /API_KEYS: +(\S+)/.exec(made.stdout) ?? []
  assert.equal([...(readApiKeys(printed)[0]?.scopes ?? [])], ['uploads:read', 'uploads:write'])
  for (const wrong of [
    [],
    ['create'],
    ['create', 's-1'],
    ['create', 'A'],
    ['create', 'a', 'root'],
    ['drop', 'a'],
  ]) {
    assert.is(run(...wrong).status, 2, wrong.join(' '))
  }
})

test('does not start with entries that it cannot read, and does not repeat them', () => {
  const hash = 'ab'.repeat(32)
  const wrong = [
    'acme',
    `acme/${hash}`,
    `acme/root/${hash}`,
    `s-1/admin/${hash}`,
    `acme/admin/${hash}0`,
    `//${hash}`,
  ]
  for (const entry of wrong) {
    assert.throws(
      () => readApiKeys(`ok/admin/${hash},${entry}`),
      (error: unknown) =>
        error instanceof EnvironmentError && /entry 2/.test(error.message) && !error.message.includes(hash),
    )
  }
  assert.equal(readApiKeys(''), [])
})

test.run()
