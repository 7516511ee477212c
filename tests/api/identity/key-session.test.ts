import secureSession from '@fastify/secure-session'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { SessionView } from '@millrace/api/identity/session-routes.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { CreatedKey, KeyPage } from '@millrace/api/tenants/key-routes.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import { fastify } from 'fastify'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('sessions signed in with an API key')

const tenant = newApiKey('acme', ['uploads:read', 'uploads:write', 'act-as', 'tokens', 'tenant'])
const reader = newApiKey('acme', ['uploads:read'])
const operator = newApiKey('ops', ['uploads:read', 'admin'])
const entries = [tenant, reader, operator].map(({ entry }) => entry).join(',')
const announcement = { filename: 'a.txt', contentType: 'text/plain', size: 7 }
/** A page of the API's own site, which is in ALLOWED_ORIGINS. */
const sameSite = 'http://localhost:5173'
let api: ApiInstances
/** Accepts uploads of strangers; otherwise as `api`, with the same sessions. */
let open: ApiInstances

test.before(async () => {
  const environment = { API_KEYS: entries, ANONYMOUS_UPLOADS: 'off', ALLOWED_ORIGINS: sameSite }
  api = await startApiInstances({ count: 2, environment })
  const { SESSION_KEYS, REDIS_PREFIX } = api.environment
  open = await startApiInstances({ environment: { API_KEYS: reader.entry, SESSION_KEYS, REDIS_PREFIX } })
})
test.after(async () => {
  await open.close()
  await api.close()
})

const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
/** What a browser adds to the writes of a page of the API. */
const ownPage = { headers: { origin: 'http://localhost:3000' } }

async function signIn(client: HttpClient, key: string, headers: Record<string, string> = {}) {
  return client.request('PUT', '/session/key', { json: { key }, headers })
}

async function signedInClient(key: string, base = api.url): Promise<HttpClient> {
  const client = createHttpClient(base)
  assert.is((await signIn(client, key)).status, 200)
  return client
}

const signOut = (client: HttpClient) => client.request('DELETE', '/session/key', ownPage)

async function createKey(json: object): Promise<CreatedKeyView> {
  const response = await createHttpClient(api.url).post('/keys', json, bearer(tenant.key))
  return bodyOf(response, CreatedKey)
}
type CreatedKeyView = { key: string; id: string }

const revoke = (id: string) => createHttpClient(api.url).request('DELETE', `/keys/${id}`, bearer(tenant.key))

async function signedInAs(client: HttpClient) {
  return bodyOf(await client.get('/session'), SessionView).signedIn
}

async function idsOf(client: HttpClient, options: Parameters<HttpClient['get']>[1] = {}) {
  return bodyOf(await client.get('/uploads', options), UploadPage).uploads.map(({ id }) => id)
}

function assertRefused(response: HttpResponse, status: number, code: string): void {
  assert.equal([response.status, bodyOf(response, Problem).code], [status, code])
}

/** Returns all that Redis has of sessions. */
async function sessionRecords(): Promise<string> {
  const keys = await api.redis.keys(`${api.prefix}:session:*`)
  return JSON.stringify(await Promise.all(keys.map((key) => api.redis.hgetall(key))))
}

test('PUT /session/key signs the session in as a key of the environment or of run time, with its tenant and scopes', async () => {
  const scopes = ['uploads:read', 'uploads:write', 'tenant']
  const made = await createKey({ scopes })
  for (const { key, scopes: expected } of [
    { key: tenant.key, scopes: ['uploads:read', 'uploads:write', 'act-as', 'tokens', 'tenant'] },
    { key: made.key, scopes },
  ]) {
    const client = createHttpClient(api.url)
    assert.is(bodyOf(await client.get('/session'), SessionView).signedIn, null)
    const response = await signIn(client, key)
    const session = bodyOf(response, SessionView)
    assert.is(response.headers.get('cache-control'), 'no-store')
    const { signedIn } = session
    assert.ok(signedIn && 'keyId' in signedIn)
    assert.match(signedIn.keyId, /^key-[0-9a-f]{32}$/)
    assert.equal([signedIn.tenant, signedIn.scopes], ['acme', expected])
    assert.equal(await signedInAs(client), signedIn)
    assert.is(session.views, 0)

    // Where strangers may not upload, and on the other instance.
    const { id } = bodyOfId(await client.post('/uploads', announcement, ownPage))
    assert.ok((await idsOf(client, { base: api.urls[1] ?? '' })).includes(id))
    assert.ok((await idsOf(createHttpClient(api.url), bearer(reader.key))).includes(id), 'the tenant owns it')
    bodyOf(await client.get('/keys'), KeyPage)
    assert.is((await client.get('/admin/cluster')).status, 403)
  }
})

function bodyOfId({ body }: HttpResponse): { id: string } {
  assert.ok(typeof body === 'object' && body !== null && 'id' in body && typeof body.id === 'string')
  return { id: body.id }
}

test('a session has the scopes of its key and no others, admin among them', async () => {
  const client = await signedInClient(operator.key)
  assert.is((await client.get('/admin/cluster', ownPage)).status, 200)
  assertRefused(await client.post('/uploads', announcement, ownPage), 403, 'forbidden')
  const read = await signedInClient(reader.key)
  for (const path of ['/keys', '/admin/cluster', '/users']) {
    assertRefused(await read.get(path, ownPage), 403, 'forbidden')
  }
})

test('neither Redis nor the cookie has the key: only its id', async () => {
  const client = await signedInClient(tenant.key)
  const sealer = fastify()
  await sealer.register(secureSession, { key: Buffer.from(api.environment.SESSION_KEYS, 'base64') })
  const sealed = decodeURIComponent(client.cookie?.split('=')[1] ?? '')
  const content = JSON.stringify(sealer.decodeSecureSession(sealed)?.data())
  await sealer.close()
  const signedIn = await signedInAs(client)
  assert.ok(signedIn && 'keyId' in signedIn)
  for (const text of [content, await sessionRecords()]) {
    assert.match(text, signedIn.keyId)
    assert.not.match(text, tenant.key)
  }
})

test('a wrong key gets 401 and no cookie, and its text is not in the response', async () => {
  const client = createHttpClient(api.url)
  const { id, key } = await createKey({ scopes: ['uploads:read'] })
  assert.is((await revoke(id)).status, 204)
  for (const wrong of ['mr_unknown', key, 'a.b.c', 'ü', 'x'.repeat(200)]) {
    const response = await signIn(client, wrong)
    assertRefused(response, 401, 'unauthenticated')
    assert.not.match(JSON.stringify(response.body), wrong)
  }
  for (const json of [{}, { key: '' }, { key: 7 }, { key: tenant.key, more: 1 }, { key: 'x'.repeat(2000) }]) {
    const response = await client.request('PUT', '/session/key', { json })
    assertRefused(response, 400, 'invalid_request')
    assert.not.match(JSON.stringify(response.body), tenant.key)
  }
  assert.is(client.cookie, undefined)
})

test('requests with wrong keys count to their address, and those of the session to its key', async () => {
  const environment = {
    API_KEYS: entries,
    SESSION_KEYS: api.environment.SESSION_KEYS,
    RATE_LIMIT_PER_MINUTE: '4',
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '20',
    TRUSTED_PROXIES: '127.0.0.0/8, ::1',
  }
  const limited = await startApiInstances({ environment })
  try {
    const from = (address: string) => ({ 'x-forwarded-for': address })
    const statusesOf = async (send: () => Promise<HttpResponse>) => {
      const statuses = new Set<number>()
      // A minute may end between two requests.
      for (let request = 0; request < 45 && !statuses.has(429); request++) statuses.add((await send()).status)
      return [...statuses]
    }
    const stranger = createHttpClient(limited.url)
    assert.equal(await statusesOf(() => signIn(stranger, 'mr_x', from('192.0.2.1'))), [401, 429])
    const client = createHttpClient(limited.url)
    assert.is((await signIn(client, reader.key, from('192.0.2.2'))).status, 200)
    const get = () => client.get('/uploads', { headers: from('192.0.2.2') })
    assert.equal(await statusesOf(get), [200, 429])
    const headers = { ...bearer(reader.key).headers, ...from('192.0.2.3') }
    assert.is((await client.get('/uploads', { headers })).status, 429)
  } finally {
    await limited.close()
  }
})

test('signing in and out begins another session: copies of the cookies from before open nothing', async () => {
  const client = createHttpClient(open.url)
  const { id: anonymousId } = await announce(client, 7)
  const before = createHttpClient(open.url, client.cookie)
  assert.is((await signIn(client, reader.key)).status, 200)
  assert.not.ok((await idsOf(client)).includes(anonymousId))
  assert.is(await signedInAs(before), null)
  assert.equal(await idsOf(before), [anonymousId])

  // A second key: the session of the first has ended.
  const first = createHttpClient(api.url, client.cookie)
  assert.is((await signIn(first, tenant.key, ownPage.headers)).status, 200)
  assert.is((await client.get('/uploads', { base: api.url })).status, 200)
  assert.equal(await idsOf(client), [])

  const copy = createHttpClient(api.url, first.cookie)
  assert.is((await signOut(first)).status, 204)
  assert.is(await signedInAs(copy), null)
  assertRefused(await copy.get('/keys'), 401, 'unauthenticated')
  assertRefused(await copy.post('/uploads', announcement, ownPage), 401, 'unauthenticated')
  // The browser is back in the session that it had before it signed in.
  assert.equal(await idsOf(first), [anonymousId])
  assert.is((await signOut(first)).status, 204)
  assert.equal(await idsOf(first), [anonymousId])
})

test('signing out without an earlier session deletes the cookie; an earlier one that has ended stays ended', async () => {
  const client = await signedInClient(tenant.key)
  assert.is((await signOut(client)).status, 204)
  assert.is(client.cookie, undefined)

  await client.get('/session')
  const before = createHttpClient(api.url, client.cookie)
  assert.is((await signIn(client, tenant.key)).status, 200)
  assert.is((await before.delete('/session')).status, 204)
  assert.is((await signOut(client)).status, 204)
  assert.is(client.cookie, undefined)
})

test('signing out and DELETE /session end the event streams of the session on all instances, also those for a user', async () => {
  for (const path of ['/session/key', '/session']) {
    const client = await signedInClient(tenant.key)
    const other = await signedInClient(tenant.key)
    const copy = createHttpClient(api.url, client.cookie)
    const streams = await Promise.all(
      api.urls.flatMap((base) =>
        ['/events', '/events?users=all'].map((stream) => openEventStream(new URL(stream, base), copy)),
      ),
    )
    const ofOther = await openEventStream(new URL('/events', api.url), other)
    for (const stream of [...streams, ofOther]) assert.is(stream.response.status, 200)
    assert.is((await client.request('DELETE', path, ownPage)).status, 204)
    for (const stream of streams) await untilEnd(stream)
    assert.is((await other.get('/keys')).status, 200)
    ofOther.close()
  }
})

async function untilEnd(stream: Awaited<ReturnType<typeof openEventStream>>): Promise<void> {
  while (await stream.next());
}

test('when its key is revoked, a session ends at once, with its event streams, and can still be signed out', async () => {
  const { key, id } = await createKey({ scopes: ['uploads:read', 'uploads:write'] })
  const client = await signedInClient(key)
  // The other instance hears of the key a moment later.
  for (const base of api.urls)
    await until(async () => (await client.get('/uploads', { base })).status !== 401)
  const streams = await Promise.all(api.urls.map((base) => openEventStream(new URL('/events', base), client)))
  for (const stream of streams) assert.ok(await stream.next())
  assert.is((await revoke(id)).status, 204)
  for (const stream of streams) await untilEnd(stream)
  // Never as another owner.
  for (const base of api.urls) {
    const read = await client.get('/uploads', { base })
    assertRefused(read, 401, 'token_revoked')
    assert.match(bodyOf(read, Problem).detail, 'API key')
    assertRefused(await client.post('/uploads', announcement, { ...ownPage, base }), 401, 'token_revoked')
  }
  const session = bodyOf(await client.get('/session'), SessionView)
  assert.equal([session.signedIn, session.signInEnded], [null, true])
  assert.is((await signOut(client)).status, 204)
  assert.is((await client.get('/uploads')).status, 200)
  assert.is(bodyOf(await client.get('/session'), SessionView).signInEnded, false)
})

test('when its key expires, a session ends, with its event streams', async () => {
  const { key } = await createKey({ scopes: ['uploads:read'], expiresIn: 2 })
  const client = await signedInClient(key)
  const stream = await openEventStream(new URL('/events', api.url), client)
  assert.ok(await stream.next())
  const signedIn = await signedInAs(client)
  assert.ok(signedIn && Date.parse(signedIn.until) < Date.now() + 3_000)
  await untilEnd(stream)
  assertRefused(await client.get('/uploads'), 401, 'token_revoked')
})

test('a key that is no longer in API_KEYS has no sessions', async () => {
  const client = await signedInClient(tenant.key)
  assertRefused(await client.get('/uploads', { base: open.url }), 401, 'token_revoked')
  assert.is((await client.get('/uploads')).status, 200)
})

test('a session whose record Redis has lost has to sign in again', async () => {
  const client = await signedInClient(tenant.key)
  const copy = createHttpClient(api.url, client.cookie)
  const keys = await api.redis.keys(`${api.prefix}:session:*`)
  await api.redis.del(...keys)
  assertRefused(await client.get('/uploads'), 401, 'token_revoked')
  assert.is(await signedInAs(client), null)
  assert.is((await signIn(client, tenant.key, ownPage.headers)).status, 200)
  assert.is((await client.get('/keys')).status, 200)
  assertRefused(await copy.get('/keys'), 401, 'unauthenticated')
})

test('only pages of the API itself use a session that a key signed in, not those of ALLOWED_ORIGINS either', async () => {
  const client = await signedInClient(operator.key)
  const { cookie } = client
  const others: Record<string, string>[] = [
    { origin: sameSite },
    { origin: sameSite, 'sec-fetch-site': 'same-site' },
    { origin: 'https://evil.example' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'cross-site' },
  ]
  const writes = [
    ['DELETE', '/session'],
    ['DELETE', '/session/key'],
    ['PUT', '/session'],
    ['PUT', '/session/key'],
    ['POST', '/uploads'],
    ['GET', '/load/1'],
  ] as const
  const jsonOf: Record<string, object> = {
    'PUT /session': { user: 'x' },
    'PUT /session/key': { key: reader.key },
    'POST /uploads': announcement,
  }
  const send = (method: string, path: string, headers: Record<string, string>) =>
    client.request(method, path, { json: jsonOf[`${method} ${path}`], headers })
  for (const headers of others) {
    for (const [method, path] of [...writes, ['GET', '/uploads'], ['GET', '/session'], ['GET', '/keys']]) {
      const response = await send(method ?? '', path ?? '', headers)
      assert.equal([response.status, path], [403, path], JSON.stringify(headers))
      assert.is(bodyOf(response, Problem).code, 'cross_site')
    }
  }
  // A browser says where each write comes from. What does not say so is no page of ours.
  for (const [method, path] of writes) {
    if (method !== 'GET' && !path.startsWith('/session'))
      assertRefused(await send(method, path, {}), 403, 'cross_site')
  }
  // A link on another page.
  const follow = async (url: string, dest = 'document') => {
    const navigation = {
      'sec-fetch-site': 'cross-site',
      'sec-fetch-mode': 'navigate',
      'sec-fetch-dest': dest,
    }
    const headers = { host: new URL(api.url).host, cookie: cookie ?? '', ...navigation }
    return (await api.app.inject({ url, headers })).statusCode
  }
  assert.is(await follow('/uploads'), 200)
  assert.is(await follow('/uploads', 'iframe'), 403)
  assert.is(await follow('/load/1'), 403)
  const own: Record<string, string>[] = [
    { origin: 'http://localhost:3000' },
    { origin: api.url },
    { 'sec-fetch-site': 'same-origin' },
  ]
  for (const headers of own) {
    assert.is((await client.get('/load/1', { headers })).status, 200)
    assert.is((await client.get('/session', { headers })).status, 200)
  }
  assert.is(client.cookie, cookie)
  const preflight = await client.request('OPTIONS', '/session/key', {
    headers: { origin: sameSite, 'access-control-request-method': 'PUT' },
  })
  assert.equal([preflight.status, preflight.headers.get('access-control-allow-origin')], [404, null])
  // As before, for a session that nobody signed in.
  const anonymous = createHttpClient(api.url)
  assert.is((await anonymous.get('/session', { headers: { origin: sameSite } })).status, 200)
})

test('with act-as, a signed-in session acts for the user that Millrace-User names', async () => {
  const client = await signedInClient(tenant.key)
  const asAda = { headers: { ...ownPage.headers, 'millrace-user': 'ada' } }
  const { id } = bodyOfId(await client.post('/uploads', announcement, asAda))
  assert.equal(await idsOf(client, asAda), [id])
  assert.not.ok((await idsOf(client)).includes(id))
  const listed = await client.get('/uploads?user=ada')
  assert.equal(
    bodyOf(listed, UploadPage).uploads.map((upload) => upload.id),
    [id],
  )
  assert.match(JSON.stringify((await client.get(`/uploads/${id}`, asAda)).body), id)
  assert.match(userOwner('acme', 'ada'), /^u-/)
  const read = await signedInClient(reader.key)
  assertRefused(await read.get('/uploads', asAda), 403, 'forbidden')
})

test('requests of the session are uses of its key', async () => {
  const { key, id } = await createKey({ scopes: ['uploads:read'] })
  const client = await signedInClient(key)
  const redisKey = `${api.prefix}:key-used:${id}`
  const hasUse = () => api.redis.exists(redisKey)
  // Signing in is one. Each instance notes an hour once.
  await until(async () => (await hasUse()) === 1)
  await api.redis.del(redisKey)
  const base = api.urls[1] ?? ''
  // A message tells the other instance of the key.
  await until(async () => (await client.get('/uploads', { base })).status !== 401)
  await until(async () => (await hasUse()) === 1)
})

test('a session that is signed in with a key keeps its label apart, and a user that signs in replaces it', async () => {
  const client = await signedInClient(tenant.key)
  const label = await client.request('PUT', '/session', { json: { user: 'Ada' }, ...ownPage })
  assert.is(label.status, 204)
  const session = bodyOf(await client.get('/session'), SessionView)
  assert.is(session.user, 'Ada')
  assert.ok(session.signedIn && 'keyId' in session.signedIn)
  const copy = createHttpClient(api.url, client.cookie)
  const asUser = await client.request('PUT', '/session', {
    headers: { ...ownPage.headers, ...bearer(tenant.key).headers, 'millrace-user': 'ada' },
  })
  assert.is(asUser.status, 204)
  const signedIn = await signedInAs(client)
  assert.equal(signedIn && 'user' in signedIn && signedIn.user, 'ada')
  assert.is((await client.get('/keys')).status, 403)
  assertRefused(await copy.get('/keys'), 401, 'unauthenticated')
})

test.run()
