import secureSession from '@fastify/secure-session'
import { createNewSessions } from '@millrace/api/identity/new-sessions.ts'
import { createSessionRecords } from '@millrace/api/identity/session-records.ts'
import { SessionView } from '@millrace/api/identity/session-routes.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { fastify } from 'fastify'
import Type from 'typebox'
import Value from 'typebox/value'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('new sessions')
const announcement = { filename: 'a.txt', contentType: 'text/plain', size: 7 }
const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
const limit = 3
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({
    count: 2,
    environment: { MAX_NEW_OWNERS_PER_ADDRESS_PER_HOUR: String(limit), TRUSTED_PROXIES: '127.0.0.0/8, ::1' },
  })
})
test.before.each(async () => {
  const keys = await sessionKeys()
  if (keys.length > 0) await api.redis.del(...keys)
})
test.after(() => api.close())

let lastAddress = 0
/** Returns the headers of a request from an address that no other test uses. */
function from(address = `203.0.113.${++lastAddress}`) {
  return { headers: { 'x-forwarded-for': address } }
}
type From = ReturnType<typeof from>

/** Returns a client with a session that nothing in Redis knows. */
async function freshClient(options: From): Promise<HttpClient> {
  const client = createHttpClient(api.url)
  await client.get('/session', options)
  return client
}

async function sessionKeys(): Promise<string[]> {
  return api.redis.keys(`${api.prefix}:session:*`)
}

/** Asserts that a record lives as long as the cookie of its session. */
async function assertKept(key: string): Promise<void> {
  const leftMs = await api.redis.pttl(key)
  assert.ok(leftMs > 29 * dayMs && leftMs <= 30 * dayMs, `${leftMs} ms`)
}

function assertRefused(response: HttpResponse): void {
  assert.is(response.status, 429)
  const problem = bodyOf(response, Problem)
  assert.is(problem.code, 'too_many_sessions')
  assert.equal([problem.limit, problem.remaining], [limit, 0])
  const wait = Number(response.headers.get('retry-after'))
  assert.ok(wait > 3500 && wait <= 3600, `${wait} s`)
}

const announceAs = (client: HttpClient, options: From) => client.post('/uploads', announcement, options)

test('requests without a cookie store nothing in Redis, however many an address sends', async () => {
  const keys = async () =>
    (await api.redis.keys(`${api.prefix}:*`)).filter((key) => !/:rate:|:\{fleet\}:|:meta$/.test(key))
  const before = (await keys()).toSorted()
  const options = from()
  for (let sent = 0; sent < 150; sent += 50) {
    const clients = Array.from({ length: 50 }, () => createHttpClient(api.url))
    const responses = await Promise.all(clients.map((client) => client.get('/session', options)))
    for (const response of responses) {
      assert.is(bodyOf(response, SessionView).views, 1)
      assert.is(response.headers.getSetCookie().length, 1)
    }
  }
  assert.equal((await keys()).toSorted(), before)
})

test('parallel requests with the same cookie are counted exactly, over all instances', async () => {
  const client = await freshClient(from())
  const requests = Array.from({ length: 40 }, (_, index) =>
    createHttpClient(api.urls[index % 2] ?? '', client.cookie).get('/session'),
  )
  const views = (await Promise.all(requests)).map((response) => bodyOf(response, SessionView).views)
  assert.equal(
    views.toSorted((a, b) => a - b),
    Array.from({ length: 40 }, (_, index) => index + 2),
  )
})

test('a session that began with an upload counts its first view as 1', async () => {
  const client = createHttpClient(api.url)
  assert.is((await announceAs(client, from())).status, 201)
  for (const expected of [1, 2]) assert.is(bodyOf(await client.get('/session'), SessionView).views, expected)
})

test('a session that is used again is kept as long as its cookie, until its address has too many', async () => {
  const options = from()
  const lifetimes: number[] = []
  for (let number = 0; number <= limit; number++) {
    const client = await freshClient(options)
    const before = await sessionKeys()
    assert.is(bodyOf(await client.get('/session', options), SessionView).views, 2)
    const [key = ''] = (await sessionKeys()).filter((name) => !before.includes(name))
    lifetimes.push(await api.redis.pttl(key))
    assert.is(bodyOf(await client.get('/session', options), SessionView).views, 3)
  }
  const last = lifetimes.pop() ?? 0
  for (const lifetime of lifetimes)
    assert.ok(lifetime > 29 * dayMs && lifetime <= 30 * dayMs, `${lifetime} ms`)
  assert.ok(last > minuteMs && last <= 10 * minuteMs, `${last} ms`)
})

test('labels are counted by address, and a label lives as long as its cookie', async () => {
  const options = from()
  const put = (client: HttpClient, user: string) =>
    client.request('PUT', '/session', { json: { user }, ...options })
  const labelled = createHttpClient(api.url)
  assert.is((await put(labelled, 'Ada')).status, 204)
  for (let number = 1; number < limit; number++) {
    assert.is((await put(await freshClient(options), 'Ada')).status, 204)
  }
  const before = (await sessionKeys()).toSorted()
  assertRefused(await put(await freshClient(options), 'Ada'))
  assertRefused(await put(createHttpClient(api.url), 'Ada'))
  assert.equal((await sessionKeys()).toSorted(), before)
  assert.is((await put(labelled, 'Grace')).status, 204)
  assert.is(bodyOf(await labelled.get('/session', options), SessionView).user, 'Grace')
  for (const key of before) await assertKept(key)
  assert.is((await put(createHttpClient(api.url), 'Ada')).status, 429)
  const elsewhere = createHttpClient(api.url)
  assert.is((await elsewhere.request('PUT', '/session', { json: { user: 'Ada' }, ...from() })).status, 204)
})

test('ends of sessions that were never used are counted by address; a used session can always be ended', async () => {
  const options = from()
  const end = (client: HttpClient) => client.request('DELETE', '/session', options)
  const used = await freshClient(options)
  await used.get('/session', options)
  const before = await sessionKeys()
  for (let number = 0; number < limit; number++)
    assert.is((await end(await freshClient(options))).status, 204)
  const refused = await freshClient(options)
  const { cookie } = refused
  assertRefused(await end(refused))
  assert.is(refused.cookie, cookie, 'the session has not ended')
  assert.is((await sessionKeys()).length - before.length, limit)
  const copy = createHttpClient(api.url, used.cookie)
  assert.is((await end(used)).status, 204)
  assert.is(bodyOf(await copy.get('/session', options), SessionView).views, 1)
  for (const key of await sessionKeys()) await assertKept(key)
})

test('new owners are counted by address over all instances, also those whose session began before', async () => {
  const options = from()
  const owner = createHttpClient(api.url)
  assert.is((await announceAs(owner, options)).status, 201)
  const fresh = await freshClient(options)
  assert.is((await announceAs(fresh, options)).status, 201)
  const keyed = await freshClient(options)
  const withKey = { headers: { ...options.headers, 'idempotency-key': 'a' } }
  assert.is((await keyed.post('/uploads', announcement, withKey)).status, 201)

  const [, second = ''] = api.urls
  const anonymous = createHttpClient(second)
  assertRefused(await announceAs(anonymous, options))
  assert.is(anonymous.cookie, undefined)
  assertRefused(await announceAs(await freshClient(options), options))
  assertRefused(await (await freshClient(options)).post('/uploads', announcement, withKey))
  const tus = { 'tus-resumable': '1.0.0', 'upload-length': '5', ...options.headers }
  for (const [method, path, headers] of [
    ['POST', '/tus', tus],
    ['POST', '/upload?filename=a.txt', { 'content-type': 'text/plain', ...options.headers }],
    ['GET', '/uppy/s3/params?filename=a.txt&type=text/plain&metadata%5Bsize%5D=5', options.headers],
  ] as const) {
    const response = await createHttpClient(second).request(method, path, { headers })
    assert.is(response.status, 429, path)
  }

  assert.is((await announceAs(owner, options)).status, 201)
  assert.is((await announceAs(fresh, options)).status, 201)
  assert.is(bodyOf(await fresh.get('/uploads', options), UploadPage).uploads.length, 2)
  assert.is((await announceAs(createHttpClient(api.url), from())).status, 201)
})

test('parallel first uploads of one session count as one new owner', async () => {
  const options = from()
  const { cookie } = await freshClient(options)
  const responses = await Promise.all(
    Array.from({ length: 12 }, (_, index) =>
      announceAs(createHttpClient(api.urls[index % 2] ?? '', cookie), options),
    ),
  )
  assert.equal([...new Set(responses.map(({ status }) => status))], [201])
  for (let number = 1; number < limit; number++) {
    assert.is((await announceAs(createHttpClient(api.url), options)).status, 201)
  }
  assertRefused(await announceAs(createHttpClient(api.url), options))
})

test('new owners are counted by /64 and by /48 in IPv6', async () => {
  const announceFrom = async (address: string) =>
    (await announceAs(createHttpClient(api.url), from(address))).status
  for (let host = 1; host <= limit; host++) assert.is(await announceFrom(`2001:db8:1:1::${host}`), 201)
  assert.is(await announceFrom('2001:db8:1:1::ffff'), 429)
  const statuses: number[] = []
  for (let network = 2; network <= 30; network++)
    statuses.push(await announceFrom(`2001:db8:1:${network}::1`))
  const accepted = statuses.filter((status) => status === 201).length
  assert.is(accepted, 8 * limit - limit)
  assert.is(await announceFrom('2001:db8:2:1::1'), 201)
})

test('cookies of older versions are valid, and older versions can read new cookies', async () => {
  const sealer = fastify()
  await sealer.register(secureSession, { key: Buffer.from(api.environment.SESSION_KEYS, 'base64') })
  const nowMs = Date.now()
  const older = {
    publicHalf: 'a'.repeat(32),
    secretHalf: 'b'.repeat(32),
    createdAtMs: nowMs,
    sealedAtMs: nowMs,
  }
  const text = encodeURIComponent(sealer.encodeSecureSession(sealer.createSecureSession(older)))
  const client = createHttpClient(api.url, `millrace=${text}`)
  for (const expected of [1, 2]) assert.is(bodyOf(await client.get('/session'), SessionView).views, expected)
  assert.is((await announceAs(client, from())).status, 201)

  // The schema of version 0.1.
  const OlderSealedSession = Type.Object({
    publicHalf: Type.String({ minLength: 1 }),
    secretHalf: Type.String({ minLength: 1 }),
    createdAtMs: Type.Integer({ minimum: 1 }),
    sealedAtMs: Type.Integer({ minimum: 1 }),
  })
  const fresh = await freshClient(from())
  for (const { cookie = '' } of [client, fresh]) {
    const content = sealer.decodeSecureSession(decodeURIComponent(cookie.replace('millrace=', '')))?.data()
    assert.ok(Value.Check(OlderSealedSession, content), JSON.stringify(content))
  }
  await sealer.close()
})

test('the mark of an ended session is renewed with its cookie, however many sessions its address has', async () => {
  const ttlMs = 30 * dayMs
  const { redis, prefix } = api
  const newSessions = createNewSessions({ redis, prefix, limitPerHour: 1 })
  const sessions = createSessionRecords({ redis, prefix, ttlMs, newSessions })
  const session = {
    id: '1'.repeat(64),
    owner: `s-${'1'.repeat(32)}`,
    createdAt: '',
    expiresAt: '',
    setsCookie: true,
    uncountedViews: 0,
    isOwner: false,
    signIn: undefined,
  }
  const key = `${prefix}:session:${session.id}`
  const client = { ip: '203.0.113.250' }
  await sessions.end(session, client)
  for (const use of [() => sessions.isEnded(session), () => sessions.view(session, client)]) {
    await redis.pexpire(key, minuteMs)
    await use()
    await assertKept(key)
  }
  assert.is(await sessions.isEnded(session), true)
})

test.run()
