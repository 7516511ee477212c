import { randomBytes } from 'node:crypto'
import secureSession from '@fastify/secure-session'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { SessionView } from '@millrace/api/identity/session-routes.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { CreatedKey } from '@millrace/api/tenants/key-routes.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import { fastify } from 'fastify'
import type { Static } from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import {
  type Claims,
  createSigningKey,
  signWithSecret,
  startJwksServer,
} from '../../support/fake-identity-provider.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('sign in')

const secret = 'the secret of an identity provider in a test'
const issuer = 'https://id.example/'
const tenantKey = newApiKey('acme', ['uploads:read', 'uploads:write', 'act-as', 'tenant'])
const provider = { JWT_SECRET: secret, JWT_ISSUER: issuer, JWT_AUDIENCE: 'millrace', JWT_TENANT: 'acme' }
let api: ApiInstances
let open: ApiInstances

test.before(async () => {
  const environment = { ...provider, ANONYMOUS_UPLOADS: 'off', API_KEYS: tenantKey.entry }
  api = await startApiInstances({ count: 2, environment })
  const { SESSION_KEYS, REDIS_PREFIX } = api.environment
  open = await startApiInstances({ environment: { ...provider, SESSION_KEYS, REDIS_PREFIX } })
})
test.after(async () => {
  await open.close()
  await api.close()
})

const nowSeconds = () => Math.floor(Date.now() / 1000)
const skewSeconds = 30
const tokenOf = (sub: string, changes: Claims = {}) =>
  signWithSecret(secret, { iss: issuer, aud: 'millrace', sub, exp: nowSeconds() + 3600, ...changes })
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } })
const announcement = { filename: 'a.txt', contentType: 'text/plain', size: 7 }

/** Signs the client's session in. */
async function signIn(client: HttpClient, token: string, headers: Record<string, string> = {}) {
  return client.request('PUT', '/session', { headers: { ...bearer(token).headers, ...headers } })
}

async function signedInClient(sub: string, changes: Claims = {}): Promise<HttpClient> {
  const client = createHttpClient(api.url)
  const response = await signIn(client, tokenOf(sub, changes))
  assert.is(response.status, 204)
  return client
}

/** Returns a client whose session was signed in like this, some time ago. */
async function clientWithCookie(signIn: object): Promise<HttpClient> {
  const sealer = fastify()
  await sealer.register(secureSession, { key: Buffer.from(api.environment.SESSION_KEYS, 'base64') })
  const half = () => randomBytes(16).toString('hex')
  const times = { createdAtMs: Date.now(), sealedAtMs: Date.now() }
  const content = { publicHalf: half(), secretHalf: half(), ...times, signIn }
  const sealed = sealer.encodeSecureSession(sealer.createSecureSession(content))
  await sealer.close()
  return createHttpClient(open.url, `millrace=${encodeURIComponent(sealed)}`)
}

/** Returns the user that a session is signed in as; undefined: nobody. */
function userOf({ signedIn }: Static<typeof SessionView>): string | undefined {
  return signedIn && 'user' in signedIn ? signedIn.user : undefined
}

async function idsOf(client: HttpClient, options: Parameters<HttpClient['get']>[1] = {}) {
  return bodyOf(await client.get('/uploads', options), UploadPage).uploads.map(({ id }) => id)
}

function assertRefused(response: HttpResponse, status: number, code: string): void {
  assert.equal([response.status, bodyOf(response, Problem).code], [status, code])
}

test('a request with a JWT acts for its user, without a cookie', async () => {
  const client = createHttpClient(api.url)
  const announced = await client.post('/uploads', announcement, bearer(tokenOf('ann')))
  assert.is(announced.status, 201)
  assert.equal(announced.headers.getSetCookie(), [])
  const ids = await idsOf(client, bearer(tokenOf('ann', { jti: 'another' })))
  assert.is(ids.length, 1)
  assert.equal(await idsOf(client, bearer(tokenOf('bob'))), [])
  assertRefused(await client.get(`/uploads/${ids[0]}`, bearer(tokenOf('bob'))), 404, 'upload_not_found')
  // The tenant is another owner than its users.
  assert.equal(await idsOf(client, bearer(tenantKey.key)), [])
})

test('a wrong JWT gets 401 with its class, and never says what is wrong', async () => {
  const client = createHttpClient(api.url)
  const details = new Set<string>()
  for (const wrong of [
    tokenOf('ann', { aud: 'other' }),
    tokenOf('ann', { iss: 'other' }),
    tokenOf('ann', { exp: undefined }),
    tokenOf('ann', { nbf: nowSeconds() + 3600 }),
    tokenOf(''),
    `${tokenOf('ann')}x`,
    signWithSecret(`${secret}x`, {}),
  ]) {
    const response = await client.get('/uploads', bearer(wrong))
    assertRefused(response, 401, 'token_invalid')
    assert.is(response.headers.get('www-authenticate'), 'Bearer')
    details.add(bodyOf(response, Problem).detail)
  }
  assert.is(details.size, 1)
  assertRefused(await client.get('/uploads', bearer(tokenOf('ann', { exp: 1 }))), 401, 'token_expired')
})

test('PUT /session with a JWT signs the session in, so that its cookie uploads where strangers may not', async () => {
  const client = createHttpClient(api.url)
  assertRefused(await client.post('/uploads', announcement), 401, 'unauthenticated')
  const before = bodyOf(await client.get('/session'), SessionView)
  assert.is(before.signedIn, null)

  const exp = nowSeconds() + 600
  const response = await signIn(client, tokenOf('carl', { exp }))
  assert.is(response.status, 204)
  assert.is(response.headers.getSetCookie().length, 1)
  const { id } = await announce(client, 7)
  assert.equal(await idsOf(client, { base: api.urls[1] ?? '' }), [id])
  // The user has it, whichever way the user comes.
  assert.equal(await idsOf(createHttpClient(api.url), bearer(tokenOf('carl'))), [id])
  assert.is((await client.get(`/uploads/${id}`)).status, 200)
  assert.equal(bodyOf(await client.get('/session'), SessionView).signedIn, {
    user: 'carl',
    until: new Date((exp + skewSeconds) * 1000).toISOString(),
  })
  // The cookie of another user opens nothing of it.
  const other = await signedInClient('dora')
  assertRefused(await other.get(`/uploads/${id}`), 404, 'upload_not_found')
})

test('a signed-in session has the scopes of its token, and administers nothing', async () => {
  const client = await signedInClient('emil', { scope: 'admin tenant tokens' })
  for (const path of ['/admin/cluster', '/load/1']) assert.is((await client.get(path)).status, 403, path)
  assert.is((await client.get('/uploads')).status, 200)
})

test('cookies of signed-in sessions are protected from pages of other origins, and so is signing in', async () => {
  const client = await signedInClient('frida')
  const { cookie } = client
  for (const headers of [{ origin: 'https://evil.example' }, { 'sec-fetch-site': 'cross-site' }]) {
    assertRefused(await client.post('/uploads', announcement, { headers }), 403, 'cross_site')
    assertRefused(await client.request('DELETE', '/session', { headers }), 403, 'cross_site')
    assertRefused(await signIn(client, tokenOf('mallory'), headers), 403, 'cross_site')
    assertRefused(
      await client.request('DELETE', '/session', {
        headers: { ...headers, ...bearer(tokenOf('frida')).headers },
      }),
      403,
      'cross_site',
    )
  }
  assert.is(client.cookie, cookie)
})

test('an API key without a user cannot sign in, nor a wrong token', async () => {
  const client = createHttpClient(api.url)
  assertRefused(await signIn(client, tenantKey.key), 403, 'forbidden')
  assertRefused(await signIn(client, tokenOf('ann', { aud: 'other' })), 401, 'token_invalid')
  assertRefused(await signIn(client, 'mr_unknown'), 401, 'unauthenticated')
  assert.is(client.cookie, undefined)
})

test('PUT /session without Authorization labels the session as before, and needs a label', async () => {
  const client = await signedInClient('gina')
  assert.is((await client.put('/session', { user: 'Ada' })).status, 204)
  const session = bodyOf(await client.get('/session'), SessionView)
  assert.equal([session.user, userOf(session)], ['Ada', 'gina'])
  for (const json of [{}, undefined, { user: '' }, { user: 'a', more: 1 }]) {
    assertRefused(await client.request('PUT', '/session', { json }), 400, 'invalid_request')
  }
  const both = await client.request('PUT', '/session', { json: { user: 'B' }, ...bearer(tokenOf('gina')) })
  assert.is(both.status, 204)
  assert.is(bodyOf(await client.get('/session'), SessionView).user, 'B')
})

test('when its token expires, a signed-in session gets 401 instead of another owner, until it signs in again', async () => {
  const client = await clientWithCookie({
    owner: userOwner('acme', 'hugo'),
    token: tokenOf('hugo', { exp: 1 }),
  })
  assertRefused(await client.get('/uploads'), 401, 'token_expired')
  assertRefused(await client.post('/uploads', announcement), 401, 'token_expired')
  const session = bodyOf(await client.get('/session'), SessionView)
  assert.is(session.signedIn, null)
  assert.is((await signIn(client, tokenOf('hugo'))).status, 204)
  assert.is((await client.get('/uploads')).status, 200)
  // It is the same session.
  const again = bodyOf(await client.get('/session'), SessionView)
  assert.equal([again.createdAt, again.views, userOf(again)], [session.createdAt, session.views + 1, 'hugo'])
})

test('DELETE /session signs out: copies of the cookie open nothing, and its streams end on all instances', async () => {
  const client = await signedInClient('ida')
  const { id } = await announce(client, 7)
  const copy = createHttpClient(api.url, client.cookie)
  const other = await signedInClient('ida')
  const streams = await Promise.all(api.urls.map((base) => openEventStream(new URL('/events', base), copy)))
  const ofOther = await openEventStream(new URL('/events', api.url), other)
  for (const stream of [...streams, ofOther]) assert.ok(await stream.next())
  assert.is((await client.delete('/session')).status, 204)
  for (const stream of streams) assert.is(await stream.next(), undefined)
  assert.is(client.cookie, undefined)
  assertRefused(await copy.post('/uploads', announcement), 401, 'unauthenticated')
  assert.equal(await idsOf(copy), [])
  assert.is((await copy.get(`/uploads/${id}`)).status, 404)
  // Another session of the user goes on.
  assert.equal(await idsOf(other), [id])
  ofOther.close()
})

test('signing in begins a new session: uploads of the anonymous one stay with it', async () => {
  const client = createHttpClient(open.url)
  const { id } = await announce(client, 7)
  const anonymous = createHttpClient(open.url, client.cookie)
  assert.is((await signIn(client, tokenOf('jan'))).status, 204)
  assert.equal(await idsOf(client), [])
  assert.equal(await idsOf(anonymous), [id])
  // Neither does a copy of the cookie from before become signed in.
  assert.is(bodyOf(await anonymous.get('/session'), SessionView).signedIn, null)
  const first = bodyOf(await client.get('/session'), SessionView)
  assert.is((await signIn(client, tokenOf('kim'))).status, 204)
  const second = bodyOf(await client.get('/session'), SessionView)
  assert.equal([first.views, second.views], [1, 1])
  assert.is(userOf(second), 'kim')
})

test('a signed-in session survives a loss of Redis', async () => {
  const client = await signedInClient('lena')
  const { id } = await announce(client, 7)
  const keys = await api.redis.keys(`${api.prefix}:session:*`)
  if (keys.length > 0) await api.redis.del(...keys)
  assert.is((await client.get(`/uploads/${id}`)).status, 200)
  assert.is(userOf(bodyOf(await client.get('/session'), SessionView)), 'lena')
})

test('while the keys of a provider are unknown and it is down, its tokens get 503, and other credentials work', async () => {
  const key = createSigningKey('ES256', 'ec-1')
  const jwks = await startJwksServer([key])
  jwks.respondWith((response) => void response.destroy())
  const { JWT_ISSUER, JWT_AUDIENCE, JWT_TENANT } = provider
  const remote = await startApiInstances({
    environment: {
      JWT_JWKS_URL: jwks.url,
      JWT_ISSUER,
      JWT_AUDIENCE,
      JWT_TENANT,
      API_KEYS: tenantKey.entry,
    },
  })
  try {
    const client = createHttpClient(remote.url)
    const token = key.sign({ iss: issuer, aud: 'millrace', sub: 'quinn', exp: nowSeconds() + 60 })
    const response = await client.get('/uploads', bearer(token))
    assertRefused(response, 503, 'identity_provider_unavailable')
    assert.match(response.headers.get('retry-after') ?? '', /^[1-5]$/)
    assertRefused(await signIn(client, token), 503, 'identity_provider_unavailable')
    assert.is(jwks.fetches(), 1)
    assert.is((await client.get('/uploads', bearer(tenantKey.key))).status, 200)
    assert.is((await client.get('/session')).status, 200)
  } finally {
    await remote.close()
    await jwks.close()
  }
})

test('requests of a signed-in session count to its user, not to the session', async () => {
  const limited = await startApiInstances({
    environment: { ...provider, SESSION_KEYS: api.environment.SESSION_KEYS, RATE_LIMIT_PER_MINUTE: '4' },
  })
  try {
    const client = createHttpClient(limited.url)
    assert.is((await signIn(client, tokenOf('mia'))).status, 204)
    const answers = new Set<number>()
    // A minute may end between two requests.
    for (let request = 0; request < 9 && !answers.has(429); request++) {
      answers.add((await client.get('/uploads')).status)
    }
    assert.equal([...answers], [200, 429])
    assert.is((await client.get('/uploads', bearer(tokenOf('mia')))).status, 429)
    assert.is((await client.get('/uploads', bearer(tokenOf('nora')))).status, 200)
  } finally {
    await limited.close()
  }
})

test('a long token fits into a cookie that browsers accept, and a longer one is refused', async () => {
  const client = createHttpClient(api.url)
  const lengthOf = (padding: number) => tokenOf('olga', { padding: 'x'.repeat(padding) }).length
  const padding = Math.floor(((2_400 - lengthOf(0)) * 3) / 4) - 4
  assert.ok(lengthOf(padding) > 2_380)
  const response = await signIn(client, tokenOf('olga', { padding: 'x'.repeat(padding) }))
  assert.is(response.status, 204)
  // RFC 6265bis, 5.6: name and value together.
  assert.ok((client.cookie ?? '').length <= 4_096, `${client.cookie?.length}`)
  assert.is((await client.get('/uploads')).status, 200)
  const refused = await signIn(client, tokenOf('olga', { padding: 'x'.repeat(padding + 100) }))
  assertRefused(refused, 400, 'invalid_request')
  assert.match(bodyOf(refused, Problem).detail, '2400')
})

test('the owner of a signed-in session is the user, in S3 as well', async () => {
  const client = await signedInClient('paul')
  const { transport } = await announce(client, 7)
  assert.match(JSON.stringify(transport), userOwner('acme', 'paul'))
})

test('a backend signs a session in for its user, with a key of the environment or of run time, until the key ends', async () => {
  const backend = createHttpClient(api.url)
  const created = await backend.post(
    '/keys',
    { scopes: ['uploads:read', 'uploads:write', 'act-as'] },
    bearer(tenantKey.key),
  )
  const { key, id: keyId } = bodyOf(created, CreatedKey)
  for (const backendKey of [tenantKey.key, key]) {
    const client = createHttpClient(api.url)
    assert.is((await signIn(client, backendKey, { 'millrace-user': 'ada%2Flovelace' })).status, 204)
    const { id } = await announce(client, 7)
    assert.ok((await idsOf(client)).includes(id))
    const asAda = { headers: { ...bearer(tenantKey.key).headers, 'millrace-user': 'ada%2Flovelace' } }
    assert.ok((await idsOf(backend, asAda)).includes(id), 'the upload is of the user')
    // What a session may do, whatever its key may.
    assert.is((await client.get('/users')).status, 403)
    if (backendKey !== key) continue
    assert.is((await backend.request('DELETE', `/keys/${keyId}`, bearer(tenantKey.key))).status, 204)
    assertRefused(await client.get('/uploads'), 401, 'token_revoked')
  }
})

test.run()
