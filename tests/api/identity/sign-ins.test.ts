import { randomBytes, randomUUID } from 'node:crypto'
import type { Caller, FindCaller, Scope } from '@millrace/api/credentials/caller.ts'
import { authorize } from '@millrace/api/identity/authorize.ts'
import { createEndedIdentities } from '@millrace/api/identity/ended-identities.ts'
import { createNewSessions } from '@millrace/api/identity/new-sessions.ts'
import { createSessionCookie } from '@millrace/api/identity/session-cookie.ts'
import { createSessionRecords } from '@millrace/api/identity/session-records.ts'
import { sessionRoutes } from '@millrace/api/identity/session-routes.ts'
import { createSignIns } from '@millrace/api/identity/sign-ins.ts'
import { registerErrorHandler } from '@millrace/api/requests/problem.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createAllowedOrigins } from '@millrace/shared/network/allowed-origins.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import { fastify } from 'fastify'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { type OpenSubscriber, openSubscriber } from '../../support/open-subscriber.ts'
import { suite } from '../../support/suite.ts'

const test = suite('sign-ins')

const publicOrigin = 'http://localhost'
const ttlMs = 60 * 60_000
const log = createLog({ level: 'silent', instance: 'test' })
let redis: Redis
let subscriber: OpenSubscriber

test.before(() => {
  const url = process.env['REDIS_URL'] ?? ''
  redis = connectRedis(url, log)
  subscriber = openSubscriber(url)
})
test.after(() => {
  redis.disconnect()
  subscriber.disconnect()
})

const userCaller = (changes: Partial<Caller>): Caller => ({
  kind: 'token',
  id: 'token-1',
  tenant: 'acme',
  user: 'ada',
  owner: userOwner('acme', 'ada'),
  scopes: new Set<Scope>(['uploads:read', 'uploads:write']),
  endsAtMs: undefined,
  hasEnded: async () => false,
  ...changes,
})

/** Starts the routes of sessions, and one that returns the caller. */
async function start(options: {
  find: FindCaller
  findKey?: (id: string) => Caller | undefined
  anonymousUploads?: boolean
}) {
  const prefix = `test-${randomUUID()}`
  const cookie = createSessionCookie({ keys: [randomBytes(32)], ttlMs, secure: false, name: 'millrace' })
  const newSessions = createNewSessions({ redis, prefix, limitPerHour: 0 })
  const sessions = createSessionRecords({ redis, prefix, ttlMs, newSessions })
  const endedIdentities = createEndedIdentities({ redis, subscriber, prefix, cookie, sessions })
  const finders = [options.find]
  const { findKey = () => undefined } = options
  const signIns = createSignIns({ finders, keyFinders: finders, findKey, sessions })
  const app = fastify()
  registerErrorHandler(app)
  app.register(async (scope) => {
    const { anonymousUploads = false } = options
    authorize(scope, {
      finders,
      allowedOrigins: createAllowedOrigins({ allowedOrigins: [], publicOrigin: 'http://localhost' }),
      publicOrigin,
      openAdmin: false,
      anonymousUploads,
      cookie,
      sessions,
      signIns,
    })
    cookie.register(scope)
    sessionRoutes(scope, { cookie, sessions, signIns, endedIdentities, instance: 'test' })
    scope.get('/caller', async ({ caller }) => {
      if (!caller) return { anonymous: true }
      const { scopes, hasEnded, ...rest } = caller
      return { ...rest, scopes: [...scopes], hasEnded: await hasEnded() }
    })
    scope.post('/caller', async () => ({}))
  })
  const signIn = async (token: string) => {
    const response = await app.inject({
      method: 'PUT',
      url: '/session',
      headers: { authorization: `Bearer ${token}` },
    })
    const sealed = String(response.headers['set-cookie']).split(';')[0] ?? ''
    const send = async (method: 'GET' | 'POST' | 'DELETE', url: string) => {
      const answer = await app.inject({ method, url, headers: { cookie: sealed } })
      return { status: answer.statusCode, body: answer.body === '' ? {} : answer.json() }
    }
    return { response, sealed, send }
  }
  /** The owners whose identities ended, as other instances are told. */
  const ended: (string | undefined)[] = []
  endedIdentities.onEnded((owner) => ended.push(owner))
  await subscriber.confirmAll()
  return { app, signIn, sessions, signIns, ended, prefix }
}

test('a session signed in with an upload token has its limits, metadata and end', async () => {
  const limits = { maxFileBytes: 10, accept: ['image/*'] }
  const metadata = { order: '7' }
  const endsAtMs = Date.now() + 60_000
  const { app, signIn } = await start({
    find: (token) =>
      token === 'a.b.c'
        ? userCaller({
            limits,
            metadata,
            endsAtMs,
            scopes: new Set<Scope>(['uploads:write', 'admin', 'tokens']),
          })
        : undefined,
  })
  // It needs `uploads:read`.
  assert.is((await signIn('a.b.c')).response.statusCode, 403)
  await app.close()

  const both = await start({ find: () => userCaller({ limits, metadata, endsAtMs }) })
  const { response, send } = await both.signIn('a.b.c')
  assert.is(response.statusCode, 204)
  const { status, body } = await send('GET', '/caller')
  assert.is(status, 200)
  assert.equal(
    [body.kind, body.id, body.user, body.limits, body.metadata, body.endsAtMs, body.hasEnded],
    ['token', 'token-1', 'ada', limits, metadata, endsAtMs, false],
  )
  await both.app.close()
})

test('a session lasts no longer than its cookie, and has no scope but those of uploads', async () => {
  const scopes = new Set<Scope>(['uploads:read', 'uploads:write', 'act-as', 'tokens', 'tenant', 'admin'])
  const { app, signIn } = await start({ find: () => userCaller({ scopes }) })
  const { body } = await (await signIn('a')).send('GET', '/caller')
  assert.equal(body.scopes, ['uploads:read', 'uploads:write'])
  assert.ok(Math.abs(body.endsAtMs - Date.now() - ttlMs) < 60_000)
  await app.close()
})

test('a session ends with its credential, whatever ends it', async () => {
  let found: () => Caller | undefined = () => userCaller({})
  const { app, signIn } = await start({ find: () => found(), anonymousUploads: true })
  const { send } = await signIn('a.b.c')
  const fail = (code: 'token_revoked' | 'token_expired' | 'token_invalid') => () => {
    throw new AppError(code)
  }
  for (const [end, code] of [
    [fail('token_revoked'), 'token_revoked'],
    [fail('token_expired'), 'token_expired'],
    [fail('token_invalid'), 'token_invalid'],
    // Its kind is no longer configured.
    [() => undefined, 'token_revoked'],
  ] as const) {
    found = end
    for (const method of ['GET', 'POST'] as const) {
      const { status, body } = await send(method, '/caller')
      assert.equal([status, body.code], [401, code])
    }
    assert.is((await send('GET', '/session')).body.signedIn, null)
  }
  // What opened a stream asks for the end itself.
  found = () => userCaller({ hasEnded: async () => true })
  assert.is((await send('GET', '/caller')).body.hasEnded, true)
  // A provider that is down ends nothing.
  found = () => {
    throw new AppError('identity_provider_unavailable')
  }
  assert.is((await send('GET', '/caller')).status, 503)
  assert.is((await send('GET', '/session')).status, 503)
  found = () => userCaller({})
  assert.is((await send('GET', '/caller')).body.user, 'ada')
  await app.close()
})

test('a session that was signed out is anonymous, whatever its copied cookie contains', async () => {
  const { app, signIn } = await start({ find: () => userCaller({}) })
  const { send } = await signIn('a.b.c')
  assert.is((await send('DELETE', '/session')).status, 204)
  assert.equal((await send('GET', '/caller')).body, { anonymous: true })
  assert.is((await send('POST', '/caller')).body.code, 'unauthenticated')
  assert.is((await send('GET', '/session')).body.signedIn, null)
  await app.close()
})

test('the end of a session is told to all instances: for the session itself, and for the user that it was signed in as', async () => {
  const { app, signIn, ended, prefix } = await start({ find: () => userCaller({}), anonymousUploads: true })
  const told = async () => {
    // Redis delivers the messages of one connection in their order.
    const last = Promise.withResolvers<void>()
    const listening = subscriber.subscribe(`${prefix}:test`, () => last.resolve())
    await listening.confirmed()
    await redis.publish(`${prefix}:test`, '')
    await last.promise
    listening.end()
    return ended.splice(0)
  }
  const anonymous = await app.inject('/session')
  const sealed = String(anonymous.headers['set-cookie']).split(';')[0] ?? ''
  await app.inject({ method: 'DELETE', url: '/session', headers: { cookie: sealed } })
  const [own, ...others] = await told()
  assert.match(own ?? '', /^s-[0-9a-f]{32}$/)
  assert.equal(others, [])

  const { send } = await signIn('a.b.c')
  await send('DELETE', '/session')
  const [session, ...users] = await told()
  assert.match(session ?? '', /^s-[0-9a-f]{32}$/)
  assert.is.not(session, own)
  assert.equal(users, [userOwner('acme', 'ada')])
  await app.close()
})

test('after the subscriber connected again, the identities of any owner may have ended meanwhile', async () => {
  const { app, ended } = await start({ find: () => userCaller({}) })
  const reconnected = new Promise<void>((resolve) => subscriber.onReconnected(resolve))
  subscriber.reconnect()
  await reconnected
  assert.equal(ended, [undefined])
  await app.close()
})

test('what a signed-in session left open ends with the session, though its credential lasts', async () => {
  const { app, sessions, signIns } = await start({ find: () => userCaller({}) })
  const session = {
    ...{ id: 'a'.repeat(64), owner: `s-${'a'.repeat(32)}`, createdAt: new Date().toISOString() },
    ...{ expiresAt: new Date(Date.now() + ttlMs).toISOString(), setsCookie: false },
    ...{ uncountedViews: 0, isOwner: false, signIn: { owner: userOwner('acme', 'ada'), token: 'a.b.c' } },
  }
  const caller = await signIns.callerOf(session)
  assert.is(await caller.hasEnded(), false)
  await sessions.end(session, { ip: '192.0.2.1' })
  assert.is(await caller.hasEnded(), true)
  await app.close()
})

test('an API key that names a user signs in by its id, until it is revoked or loses act-as', async () => {
  const key = 'mr_a-key-that-must-not-get-into-a-cookie'
  const scopes = new Set<Scope>(['uploads:read', 'act-as'])
  const tenant = { kind: 'key' as const, id: 'key-1', user: undefined, owner: 'acme', scopes }
  let stored: Caller | undefined = userCaller(tenant)
  let sealedText = ''
  const { app, signIn } = await start({
    // As `Millrace-User` makes it.
    find: (token) =>
      token === key ? userCaller({ ...tenant, user: 'ada', owner: userOwner('acme', 'ada') }) : undefined,
    findKey: (id) => (id === 'key-1' ? stored : undefined),
  })
  app.addHook('onSend', async (request) => {
    sealedText = JSON.stringify(request.cookieToSend)
  })
  const { response, send } = await signIn(key)
  assert.is(response.statusCode, 204)
  assert.match(sealedText, 'key-1')
  assert.not.match(sealedText, key)
  const { body } = await send('GET', '/caller')
  assert.equal([body.user, body.owner, body.scopes], ['ada', userOwner('acme', 'ada'), ['uploads:read']])
  // Users of one key do not share its rate limit.
  assert.is(body.id, userOwner('acme', 'ada'))
  assert.is((await send('POST', '/caller')).status, 403)
  for (const changed of [undefined, userCaller({ ...tenant, scopes: new Set<Scope>(['uploads:read']) })]) {
    stored = changed
    assert.is((await send('GET', '/caller')).body.code, 'token_revoked')
  }
  await app.close()
})

test.run()
