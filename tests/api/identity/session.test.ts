import { randomBytes } from 'node:crypto'
import secureSession from '@fastify/secure-session'
import { Health, Ready } from '@millrace/api/fleet/health-routes.ts'
import { createSessionCookie } from '@millrace/api/identity/session-cookie.ts'
import { SessionView } from '@millrace/api/identity/session-routes.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { fastify } from 'fastify'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('session')
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances({ count: 3 })
})
test.after(() => api.close())

/** Returns the keys of the sessions that a request changed. */
async function newKeys(send: () => Promise<unknown>): Promise<string[]> {
  const views = async () =>
    Promise.all(
      (await api.redis.keys(`${api.prefix}:session:*`)).map(async (key) => ({
        key,
        views: await api.redis.hget(key, 'views').catch(() => 'another type'),
      })),
    )
  const before = new Map((await views()).map(({ key, views }) => [key, views]))
  await send()
  return (await views()).filter(({ key, views }) => before.get(key) !== views).map(({ key }) => key)
}

test('a session counts its views over all instances', async () => {
  const client = createHttpClient(api.url)
  const servedBy = new Set<string>()
  for (let expected = 1; expected <= 6; expected++) {
    const base = api.urls[expected % 3]
    const session = bodyOf(await client.get('/session', { ...(base && { base }) }), SessionView)
    assert.is(session.views, expected)
    assert.is(session.user, null)
    servedBy.add(session.servedBy)
  }
  assert.is(servedBy.size, 3)
})

test('every client gets its own session', async () => {
  const [first, second] = [createHttpClient(api.url), createHttpClient(api.url)]
  await first.get('/session')
  assert.is(bodyOf(await first.get('/session'), SessionView).views, 2)
  assert.is(bodyOf(await second.get('/session'), SessionView).views, 1)
})

test('the session cookie is set once and is HttpOnly', async () => {
  const client = createHttpClient(api.url)
  const first = await client.get('/session')
  const [cookie] = first.headers.getSetCookie()
  assert.match(cookie ?? '', /^millrace=[^;]+; Max-Age=2592000; Path=\/; HttpOnly; SameSite=Lax$/)
  const second = await client.get('/session')
  assert.equal(second.headers.getSetCookie(), [])
})

test('with an https origin, the cookie is bound to the host and to https', async () => {
  const secure = await startApiInstances({ environment: { PUBLIC_ORIGIN: 'https://example.org' } })
  try {
    const [cookie] = (await createHttpClient(secure.url).get('/session')).headers.getSetCookie()
    assert.match(
      cookie ?? '',
      /^__Host-millrace=[^;]+; Max-Age=2592000; Path=\/; HttpOnly; Secure; SameSite=Lax$/,
    )
  } finally {
    await secure.close()
  }
})

test('PUT /session sets the label of the session', async () => {
  const client = createHttpClient(api.url)
  assert.is((await client.put('/session', { user: 'Ada' })).status, 204)
  assert.is(bodyOf(await client.get('/session'), SessionView).user, 'Ada')
  const refused = await client.put('/session', { user: '' })
  assert.is(refused.status, 400)
})

test('DELETE /session ends the session, also for copies of its cookie', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  await client.get('/session')
  const copy = createHttpClient(api.url, client.cookie)
  assert.is((await client.delete('/session')).status, 204)
  assert.is(client.cookie, undefined)
  const newSession = await copy.get('/session')
  assert.is(bodyOf(newSession, SessionView).views, 1)
  assert.is(newSession.headers.getSetCookie().length, 1)
})

for (const [defect, damage] of [
  [
    'a changed byte',
    (cookie: string) => cookie.replace(/=(.)/, (_, first) => `=${first === 'A' ? 'B' : 'A'}`),
  ],
  ['an empty value', (cookie: string) => cookie.replace(/=.*/, '=')],
  ['no nonce', (cookie: string) => cookie.replace(/%3B.*/, '')],
  ['a nonce that is too short', (cookie: string) => `${cookie.replace(/%3B.*/, '')}%3BAAAA`],
  ['bad percent-encoding', () => 'millrace=%E0%A4%A'],
  ['control characters', () => 'millrace=%00%01%02;%ff'],
  ['8 KB of text', () => `millrace=${'A'.repeat(8000)}`],
] satisfies [string, (cookie: string) => string][]) {
  test(`a cookie with ${defect} is ignored`, async () => {
    const client = createHttpClient(api.url)
    await client.get('/session')
    const response = await createHttpClient(api.url, damage(client.cookie ?? '')).get('/session')
    assert.is(response.status, 200)
    assert.is(bodyOf(response, SessionView).views, 1)
    assert.is(response.headers.getSetCookie().length, 1)
  })
}

test('a cookie that was sealed with an older key is valid and is sealed again with the newest key', async () => {
  const oldKey = Buffer.alloc(32, 1).toString('base64')
  const newKey = Buffer.alloc(32, 2).toString('base64')
  const before = await startApiInstances({ environment: { SESSION_KEYS: oldKey } })
  const client = createHttpClient(before.url)
  await client.get('/session')
  await before.close()
  const after = await startApiInstances({
    environment: { SESSION_KEYS: `${newKey},${oldKey}`, REDIS_PREFIX: before.prefix },
  })
  try {
    const response = await client.get('/session', { base: after.url })
    assert.is(bodyOf(response, SessionView).views, 2)
    assert.is(response.headers.getSetCookie().length, 1)
  } finally {
    await after.close()
  }
})

test('a cached cookie is valid until its lifetime ends', async () => {
  const ttlMs = 60_000
  let nowMs = Date.now()
  const cookie = createSessionCookie({
    keys: [randomBytes(32)],
    ttlMs,
    secure: false,
    name: 'millrace',
    now: () => nowMs,
  })
  const app = fastify()
  app.register(async (scope) => {
    cookie.register(scope)
    scope.get('/start', async (request) => cookie.start(request))
    scope.get('/read', async (request) => cookie.read(request) ?? 'none')
  })
  const started = await app.inject('/start')
  const { id } = started.json()
  const sealed = String(started.headers['set-cookie']).split(';')[0] ?? ''
  const read = () => app.inject({ url: '/read', headers: { cookie: `other=1; ${sealed}; another=2` } })
  for (const age of [0, 0, ttlMs - 1]) {
    nowMs += age
    assert.is((await read()).json().id, id)
  }
  nowMs += 1
  assert.is((await read()).body, 'none')
  const otherName = await app.inject({ url: '/read', headers: { cookie: `x${sealed}` } })
  assert.is(otherName.body, 'none')
  await app.close()
})

test("a session's record in Redis has an expiry, also after Redis lost it", async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  const keys = async () => (await api.redis.keys(`${api.prefix}:session:*`)).toSorted()
  const before = await keys()
  const another = createHttpClient(api.url)
  await another.get('/session')
  await another.get('/session')
  const [key = ''] = (await keys()).filter((name) => !before.includes(name))
  const dayMs = 24 * 60 * 60_000
  const assertLifetime = async () => {
    const pttl = await api.redis.pttl(key)
    assert.ok(pttl > 29 * dayMs && pttl <= 30 * dayMs, `${pttl} ms`)
  }
  await assertLifetime()
  await api.redis.del(key)
  await another.get('/session')
  await assertLifetime()
})

test('a session stays valid when Redis has lost everything', async () => {
  const client = createHttpClient(api.url)
  const first = bodyOf(await client.get('/session'), SessionView)
  await client.get('/session')
  const keys = await api.redis.keys(`${api.prefix}:session:*`)
  await api.redis.del(...keys)
  const response = await client.get('/session')
  assert.equal(response.headers.getSetCookie(), [])
  assert.is(bodyOf(response, SessionView).views, 2)
  assert.is(bodyOf(response, SessionView).createdAt, first.createdAt)
})

test('/health returns status, instance and version', async () => {
  const health = bodyOf(await createHttpClient(api.url).get('/health'), Health)
  assert.is(health.status, 'ok')
  assert.is(health.instance, 'api-1')
  assert.match(health.version, /^\d+\.\d+\.\d+$/)
})

test('/ready returns 200 if Redis, S3 and SQS respond', async () => {
  const response = await createHttpClient(api.url).get('/ready')
  assert.is(response.status, 200)
  assert.equal(bodyOf(response, Ready), { status: 'ready', checks: { redis: 'ok', s3: 'ok', sqs: 'ok' } })
})

test('/ready returns 503 and the failed check if the bucket is missing', async () => {
  const withoutBucket = await startApiInstances({ environment: { BUCKET: 'no-such-bucket' } })
  try {
    const response = await createHttpClient(withoutBucket.url).get('/ready')
    assert.is(response.status, 503)
    assert.equal(bodyOf(response, Ready), {
      status: 'unready',
      checks: { redis: 'ok', s3: 'failed', sqs: 'ok' },
    })
  } finally {
    await withoutBucket.close()
  }
})

test('a session of a newer version is answered 503, and the sessions of the same moment are not', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  const cookie = client.cookie
  const [key = ''] = await newKeys(() => createHttpClient(api.url, cookie).get('/session'))
  const others = await Promise.all(
    [1, 2, 3].map(async () => {
      const other = createHttpClient(api.url)
      await other.get('/session')
      return other
    }),
  )
  const forms: [string, () => Promise<unknown>][] = [
    ['a field of another type', () => api.redis.hset(key, 'views', 'many')],
    ['a key of another type', () => api.redis.multi().del(key).set(key, '{}').exec()],
  ]
  for (const [name, write] of forms) {
    await write()
    const [response, ...ofOthers] = await Promise.all([client, ...others].map((each) => each.get('/session')))
    assert.equal([response?.status, client.cookie], [503, cookie], name)
    assert.is(response?.body && bodyOf(response, Problem).code, 'unreadable_record', name)
    assert.equal(
      ofOthers.map(({ status }) => status),
      [200, 200, 200],
      name,
    )
  }
  const announced = await client.post('/uploads', { filename: 'a', contentType: 'a/b', size: 1 })
  assert.equal([announced.status, client.cookie], [503, cookie])
})

test('a cookie of a newer version is kept, and DELETE /session deletes it', async () => {
  const sealer = fastify()
  await sealer.register(secureSession, { key: Buffer.from(api.environment.SESSION_KEYS, 'base64') })
  const seal = (content: object) =>
    encodeURIComponent(sealer.encodeSecureSession(sealer.createSecureSession(content)))
  const cookies = [
    seal({ subject: 'x' }),
    seal({ publicHalf: 'a', secretHalf: 'b', createdAtMs: 'today', sealedAtMs: Date.now() }),
  ]
  for (const text of cookies) {
    const client = createHttpClient(api.url, `millrace=${text}`)
    for (const path of ['/session', '/uploads']) {
      const response = await client.get(path)
      assert.equal([response.status, bodyOf(response, Problem).code], [503, 'unreadable_record'])
      assert.equal(response.headers.getSetCookie(), [])
    }
    assert.is((await client.delete('/session')).status, 204)
    assert.is(client.cookie, undefined)
  }
  await sealer.close()
})

test.run()
