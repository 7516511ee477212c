import { randomBytes } from 'node:crypto'
import { Health, Ready } from '@millrace/api/fleet/health-routes.ts'
import { createSessionCookie } from '@millrace/api/identity/session-cookie.ts'
import { SessionView } from '@millrace/api/identity/session-routes.ts'
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

test('counts views for one cookie, whichever instance is asked', async () => {
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

test('gives every client a session of its own', async () => {
  const [one, two] = [createHttpClient(api.url), createHttpClient(api.url)]
  await one.get('/session')
  assert.is(bodyOf(await one.get('/session'), SessionView).views, 2)
  assert.is(bodyOf(await two.get('/session'), SessionView).views, 1)
})

test('seals the cookie once, and so that no script can read it', async () => {
  const client = createHttpClient(api.url)
  const first = await client.get('/session')
  const [cookie] = first.headers.getSetCookie()
  assert.match(cookie ?? '', /^millrace=[^;]+; Max-Age=2592000; Path=\/; HttpOnly; SameSite=Lax$/)
  const second = await client.get('/session')
  assert.equal(second.headers.getSetCookie(), [])
})

test('binds the cookie to the host and to https where browsers come over https', async () => {
  const secure = await startApiInstances({ environment: { PUBLIC_ORIGIN: 'https://example.org' } })
  try {
    const [cookie] = (await createHttpClient(secure.url).get('/session')).headers.getSetCookie()
    assert.match(cookie ?? '', /^__Host-millrace=[^;]+; .*Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  } finally {
    await secure.close()
  }
})

test('labels the session', async () => {
  const client = createHttpClient(api.url)
  assert.is((await client.put('/session', { user: 'Ada' })).status, 204)
  assert.is(bodyOf(await client.get('/session'), SessionView).user, 'Ada')
  const refused = await client.put('/session', { user: '' })
  assert.is(refused.status, 400)
})

test('ends the session, also for a copy of its cookie', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  await client.get('/session')
  const copy = createHttpClient(api.url, client.cookie)
  assert.is((await client.delete('/session')).status, 204)
  assert.is(client.cookie, undefined)
  const revived = await copy.get('/session')
  assert.is(bodyOf(revived, SessionView).views, 1)
  assert.is(revived.headers.getSetCookie().length, 1)
})

for (const [name, spoil] of [
  [
    'a changed byte',
    (cookie: string) => cookie.replace(/=(.)/, (_, first) => `=${first === 'A' ? 'B' : 'A'}`),
  ],
  ['nothing but a name', (cookie: string) => cookie.replace(/=.*/, '=')],
  ['no nonce', (cookie: string) => cookie.replace(/%3B.*/, '')],
  ['a nonce too short', (cookie: string) => `${cookie.replace(/%3B.*/, '')}%3BAAAA`],
  ['bad percent-encoding', () => 'millrace=%E0%A4%A'],
  ['control characters', () => 'millrace=%00%01%02;%ff'],
  ['8 KB of text', () => `millrace=${'A'.repeat(8000)}`],
] satisfies [string, (cookie: string) => string][]) {
  test(`takes a cookie with ${name} for none`, async () => {
    const honest = createHttpClient(api.url)
    await honest.get('/session')
    const answer = await createHttpClient(api.url, spoil(honest.cookie ?? '')).get('/session')
    assert.is(answer.status, 200)
    assert.is(bodyOf(answer, SessionView).views, 1)
    assert.is(answer.headers.getSetCookie().length, 1)
  })
}

test('opens cookies that an older key sealed, and seals them with the newest', async () => {
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
    const answer = await client.get('/session', { base: after.url })
    assert.is(bodyOf(answer, SessionView).views, 2)
    assert.is(answer.headers.getSetCookie().length, 1)
  } finally {
    await after.close()
  }
})

test('a cookie that was opened before is as good as its seal, and no longer', async () => {
  const ttlMs = 60_000
  let nowMs = Date.now()
  const cookie = createSessionCookie({ keys: [randomBytes(32)], ttlMs, secure: false, now: () => nowMs })
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
  const namedAlike = await app.inject({ url: '/read', headers: { cookie: `x${sealed}` } })
  assert.is(namedAlike.body, 'none')
  await app.close()
})

test('a session lives in Redis from when its cookie was sealed, also where Redis had lost it', async () => {
  const client = createHttpClient(api.url)
  await client.get('/session')
  const keys = async () => (await api.redis.keys(`${api.prefix}:session:*`)).toSorted()
  const before = await keys()
  const another = createHttpClient(api.url)
  await another.get('/session')
  const [key = ''] = (await keys()).filter((name) => !before.includes(name))
  assert.ok((await api.redis.pttl(key)) > 0)
  await api.redis.del(key)
  await another.get('/session')
  assert.ok((await api.redis.pttl(key)) > 0)
})

test('keeps the owner when Redis has lost everything', async () => {
  const client = createHttpClient(api.url)
  const first = bodyOf(await client.get('/session'), SessionView)
  const keys = await api.redis.keys(`${api.prefix}:session:*`)
  await api.redis.del(...keys)
  const answer = await client.get('/session')
  assert.equal(answer.headers.getSetCookie(), [])
  assert.is(bodyOf(answer, SessionView).views, 1)
  assert.is(bodyOf(answer, SessionView).createdAt, first.createdAt)
})

test('says that it lives without touching anything', async () => {
  const health = bodyOf(await createHttpClient(api.url).get('/health'), Health)
  assert.is(health.status, 'ok')
  assert.is(health.instance, 'api-1')
  assert.match(health.version, /^\d+\.\d+\.\d+$/)
})

test('is ready when Redis, S3 and SQS answer', async () => {
  const answer = await createHttpClient(api.url).get('/ready')
  assert.is(answer.status, 200)
  assert.equal(bodyOf(answer, Ready), { status: 'ready', checks: { redis: 'ok', s3: 'ok', sqs: 'ok' } })
})

test('is not ready when one of them is missing, and says which', async () => {
  const lame = await startApiInstances({ environment: { BUCKET: 'no-such-bucket' } })
  try {
    const answer = await createHttpClient(lame.url).get('/ready')
    assert.is(answer.status, 503)
    assert.equal(bodyOf(answer, Ready), {
      status: 'unready',
      checks: { redis: 'ok', s3: 'failed', sqs: 'ok' },
    })
  } finally {
    await lame.close()
  }
})

test.run()
