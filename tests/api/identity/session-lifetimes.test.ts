import { randomBytes, randomUUID } from 'node:crypto'
import type { Caller, Scope } from '@millrace/api/credentials/caller.ts'
import { createEndedIdentities } from '@millrace/api/identity/ended-identities.ts'
import { createNewSessions } from '@millrace/api/identity/new-sessions.ts'
import { createSessionCookie } from '@millrace/api/identity/session-cookie.ts'
import { createSessionRecords } from '@millrace/api/identity/session-records.ts'
import { createSignIns } from '@millrace/api/identity/sign-ins.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import fc from 'fast-check'
import { fastify } from 'fastify'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { type OpenSubscriber, openSubscriber } from '../../support/open-subscriber.ts'
import { suite } from '../../support/suite.ts'

const test = suite('lifetimes of sessions')
const hourMs = 60 * 60_000
const dayMs = 24 * hourMs
const ttlMs = 30 * dayMs
const keySignIn = { owner: 'acme', keyId: 'key-1' }
const userSignIn = { owner: userOwner('acme', 'ada'), token: 'a.b.c' }
const userCaller: Caller = {
  ...{ kind: 'jwt', id: 'jwt-1', tenant: 'acme', user: 'ada', owner: userSignIn.owner },
  ...{ scopes: new Set<Scope>(['uploads:read']), endsAtMs: undefined, hasEnded: async () => false },
}
let redis: Redis
let subscriber: OpenSubscriber

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
  subscriber = openSubscriber(process.env['REDIS_URL'] ?? '')
})
test.after(() => {
  redis.disconnect()
  subscriber.disconnect()
})

/** Starts an app whose clock a test sets, with a route for each use of a session. */
async function start({ secure = false } = {}) {
  const clock = { nowMs: Date.parse('2026-11-28T12:00:00.000Z') }
  const now = () => clock.nowMs
  const name = secure ? '__Host-millrace' : 'millrace'
  const cookie = createSessionCookie({ keys: [randomBytes(32)], ttlMs, secure, name, now })
  const prefix = `test-${randomUUID()}`
  const newSessions = createNewSessions({ redis, prefix, limitPerHour: 0 })
  const sessions = createSessionRecords({ redis, prefix, ttlMs, newSessions })
  const endedIdentities = createEndedIdentities({ redis, subscriber, prefix, cookie, sessions })
  const app = fastify()
  app.register(async (scope) => {
    cookie.register(scope)
    scope.get('/start', async (request) => cookie.start(request))
    scope.get('/visit', async (request) => cookie.start(request, { uncountedViews: 1, isOwner: true }))
    scope.get('/peek', async (request) => ({ session: cookie.peek(request) ?? null }))
    scope.get('/mark', async (request) => {
      cookie.markOwner(request)
      return {}
    })
    scope.get('/key', async (request) => {
      const session = cookie.signInWithKey(request, keySignIn, true)
      await sessions.signIn(session, keySignIn.keyId)
      return session
    })
    scope.get('/user', async (request) => cookie.signIn(request, userSignIn, true))
    scope.get('/before', async (request) => ({ session: cookie.sessionBefore(request) ?? null }))
    scope.get('/return', async (request) => {
      cookie.returnToSessionBefore(request)
      return {}
    })
    // As each route of uploads.
    scope.get('/use', async (request) => {
      const session = cookie.read(request)
      return { session: session && !(await sessions.isEnded(session)) ? session : null }
    })
    scope.get('/view', async (request) => {
      const session = cookie.read(request)
      return { view: (session && (await sessions.view(session, request))) ?? null }
    })
    // As an event stream, again and again.
    scope.get('/check', async (request) => {
      const { endsAtMs, hasEnded } = endedIdentities.lifetimeOf(request)
      return { endsAtMs, hasEnded: await hasEnded() }
    })
    scope.get('/end', async (request) => {
      const session = cookie.read(request)
      if (session) await sessions.end(session, request)
      cookie.end(request)
      return {}
    })
  })
  await app.ready()
  /** @returns the body, and the cookie that the response set: undefined if none, empty if it deletes it */
  const send = async (url: string, sealed = '') => {
    const response = await app.inject({ url, headers: sealed === '' ? {} : { cookie: sealed } })
    assert.is(response.statusCode, 200, response.body)
    const header = response.headers['set-cookie']
    const [pair = ''] = String(header).split(';')
    const setCookie = header === undefined ? undefined : pair === `${name}=` ? '' : pair
    return { body: response.json(), setCookie, header: String(header) }
  }
  const keysOf = () => redis.keys(`${prefix}:session:*`)
  return { app, clock, send, keysOf, sessions }
}

test('a cookie is sealed again once it is older than a day, and not before', async () => {
  const { app, clock, send } = await start()
  const { setCookie: sealed = '', body } = await send('/start')
  clock.nowMs += dayMs
  assert.is((await send('/use', sealed)).setCookie, undefined)
  clock.nowMs += 1
  const { setCookie: renewed, body: used } = await send('/use', sealed)
  assert.ok(renewed)
  assert.equal([used.session.id, used.session.createdAt], [body.id, body.createdAt])
  assert.is(Date.parse(used.session.expiresAt), clock.nowMs + ttlMs)
  await app.close()
})

test('a session ends a lifetime after its cookie was last sealed, for reading, for looking and after a key', async () => {
  const { app, clock, send } = await start()
  const { setCookie: sealed = '', body } = await send('/start')
  const { setCookie: ofKey = '' } = await send('/key', sealed)
  clock.nowMs += ttlMs - 1
  assert.is((await send('/peek', sealed)).body.session.id, body.id)
  assert.is((await send('/use', sealed)).body.session.id, body.id)
  const earlier = await send('/before', ofKey)
  assert.is(earlier.body.session.id, body.id)
  clock.nowMs += 1
  for (const path of ['/peek', '/use']) {
    const { body: late, setCookie } = await send(path, sealed)
    assert.equal([late.session, setCookie], [null, undefined], path)
  }
  // The key's own session is as old.
  assert.is((await send('/before', ofKey)).body.session, null)
  await app.close()
})

test('after an API key, the anonymous session goes on as it was, however many keys signed in meanwhile', async () => {
  const { app, clock, send } = await start()
  const { setCookie: anonymous = '' } = await send('/visit')
  const { session } = (await send('/peek', anonymous)).body
  assert.equal([session.uncountedViews, session.isOwner, session.signIn], [1, true, undefined])
  let { setCookie: ofKey = '' } = await send('/key', anonymous)
  clock.nowMs += 1000
  ofKey = (await send('/key', ofKey)).setCookie ?? ''
  const { session: before } = (await send('/before', ofKey)).body
  assert.equal(before, { ...session, setsCookie: true })
  const { setCookie: returned = '' } = await send('/return', ofKey)
  assert.equal((await send('/peek', returned)).body.session, session)
  await app.close()
})

test('after an API key, a session that a user had signed in does not go on', async () => {
  const { app, send } = await start()
  for (const path of ['/user', '/before']) {
    const { setCookie: sealed = '' } = await send(path)
    const { setCookie: ofKey = '' } = await send('/key', sealed)
    assert.is((await send('/before', ofKey)).body.session, null)
    assert.is((await send('/return', ofKey)).setCookie, '')
  }
  await app.close()
})

test('the mark of an owner does not renew a cookie', async () => {
  const { app, clock, send } = await start()
  const { setCookie: sealed = '', body } = await send('/start')
  clock.nowMs += dayMs
  const { setCookie: marked = '' } = await send('/mark', sealed)
  const { session } = (await send('/peek', marked)).body
  assert.equal([session.isOwner, session.expiresAt], [true, body.expiresAt])
  await app.close()
})

test('a cookie of https is bound to its host: __Host-, Secure, the path / and no domain', async () => {
  const { app, send } = await start({ secure: true })
  const { header } = await send('/start')
  assert.match(header, /^__Host-millrace=[^;]+; Max-Age=2592000; Path=\/; HttpOnly; Secure; SameSite=Lax$/)
  const { setCookie: sealed = '' } = await send('/start')
  assert.is(
    (await send('/end', sealed)).header,
    '__Host-millrace=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Lax',
  )
  await app.close()
})

test('the longest token that signs in fits into a cookie, and a longer one is refused', async () => {
  const { app } = await start()
  const { sessions } = await start()
  const signIns = createSignIns({ finders: [], keyFinders: [], findKey: () => undefined, sessions })
  const { token = '' } = signIns.seal(userCaller, 'x'.repeat(2_400))
  assert.is(token.length, 2_400)
  try {
    signIns.seal(userCaller, 'x'.repeat(2_401))
    assert.unreachable('A longer token was accepted.')
  } catch (error) {
    assert.ok(error instanceof AppError, String(error))
    assert.is(error.code, 'invalid_request')
  }
  // Browsers accept name and value of 4,096 bytes together (RFC 6265bis, 5.6).
  const cookie = createSessionCookie({
    keys: [randomBytes(32)],
    ttlMs,
    secure: true,
    name: '__Host-millrace',
  })
  const large = fastify()
  large.register(async (scope) => {
    cookie.register(scope)
    scope.get('/', async (request) => cookie.signIn(request, { owner: userSignIn.owner, token }, false))
  })
  const [pair = ''] = String((await large.inject('/')).headers['set-cookie']).split(';')
  assert.ok(pair.length > 3_000 && pair.length <= 4_096, `${pair.length} bytes`)
  await large.close()
  await app.close()
})

test('the mark of an end lives as long as the cookies that it ends, and names no key', async () => {
  const { app, send, keysOf } = await start()
  const { setCookie: sealed = '' } = await send('/start')
  const { setCookie: ofKey = '' } = await send('/key', sealed)
  const [key = ''] = await keysOf()
  const ttlOf = async () => {
    const pttl = await redis.pttl(key)
    assert.ok(pttl > ttlMs - hourMs && pttl <= ttlMs, `${pttl} ms`)
  }
  assert.is(await redis.hget(key, 'key'), 'key-1')
  await ttlOf()
  await send('/end', ofKey)
  assert.equal(await redis.hgetall(key), { ended: '1' })
  await ttlOf()
  await app.close()
})

test('checks of an open event stream do not prolong the record of its session', async () => {
  const { app, clock, send, keysOf, sessions } = await start()
  const { setCookie: sealed = '', body } = await send('/start')
  await sessions.label(body, 'Ada', { ip: '192.0.2.1' })
  const [key = ''] = await keysOf()
  await redis.pexpire(key, hourMs)
  // The request that opens the stream renews its cookie.
  clock.nowMs += dayMs + 1
  const { body: checked, setCookie } = await send('/check', sealed)
  assert.ok(setCookie)
  assert.equal(checked, { endsAtMs: clock.nowMs + ttlMs, hasEnded: false })

  const finders = [() => userCaller]
  const signIns = createSignIns({ finders, keyFinders: [], findKey: () => undefined, sessions })
  const signedIn = await signIns.callerOf({ ...body, setsCookie: true, signIn: userSignIn })
  assert.is(await signedIn.hasEnded(), false)
  const pttl = await redis.pttl(key)
  assert.ok(pttl > 0 && pttl <= hourMs, `${pttl} ms`)
  await app.close()
})

test('what the session of a key left open stays open until the session ends or another key signs it in, though the key lasts', async () => {
  const { app, send, sessions } = await start()
  const { kind, tenant, user } = { kind: 'key', tenant: 'acme', user: undefined } as const
  const key: Caller = { ...userCaller, ...{ kind, id: keySignIn.keyId, tenant, user, owner: tenant } }
  const signIns = createSignIns({ finders: [], keyFinders: [], findKey: () => key, sessions })
  const open = async () => {
    const { body, setCookie: sealed = '' } = await send('/key')
    const caller = await signIns.callerOf({ ...body, signIn: keySignIn })
    assert.is(await caller.hasEnded(), false)
    return { body, sealed, caller }
  }
  const ended = await open()
  await send('/end', ended.sealed)
  assert.is(await ended.caller.hasEnded(), true)
  const replaced = await open()
  await sessions.signIn(replaced.body, 'key-2')
  assert.is(await replaced.caller.hasEnded(), true)
  await app.close()
})

test('an event stream without an identity, as of an open console, has no end', async () => {
  const { app, send } = await start()
  assert.equal((await send('/check')).body, { hasEnded: false })
  await app.close()
})

test('a record that another version wrote in another form signs nobody out, and its error does not name the secret half', async () => {
  const { app, send, keysOf, sessions } = await start()
  const { setCookie: sealed = '' } = await send('/key')
  const { session } = (await send('/peek', sealed)).body
  const [key = ''] = await keysOf()
  assert.ok(key.endsWith(session.id))
  await redis.del(key)
  await redis.rpush(key, 'a list')
  for (const call of [sessions.signedInKey(session), sessions.isEnded(session)]) {
    const error: unknown = await call.catch((thrown: unknown) => thrown)
    assert.ok(error instanceof AppError, String(error))
    assert.is(error.code, 'unreadable_record')
    assert.not.match(error.message, session.id.slice(32))
  }
  await app.close()
})

/** What happens to the browsers that share cookies, and to the clock. */
const step = fc.oneof(
  { weight: 1, arbitrary: fc.record({ do: fc.constant('start' as const) }) },
  {
    weight: 6,
    arbitrary: fc.record({ do: fc.constantFrom('use', 'view', 'peek'), cookie: fc.nat({ max: 20 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('end' as const), cookie: fc.nat({ max: 20 }) }) },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('wait' as const),
      ms: fc.oneof(
        fc.constantFrom(1, dayMs - 1, dayMs, dayMs + 1, ttlMs - 1, ttlMs),
        fc.integer({ min: 0, max: 2 * dayMs }),
      ),
    }),
  },
)

test('whatever happens, a cookie opens its session until a lifetime after its seal, and none opens an ended one', async () => {
  await checkProperty(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 25 }), async (steps) => {
      const { app, clock, send } = await start()
      /** All cookies that were ever set: each of them may be copied, and sent at any time. */
      const cookies: { sealed: string; id: string; sealedAtMs: number }[] = []
      const ended = new Set<string>()
      for (const each of steps) {
        if (each.do === 'wait') {
          clock.nowMs += each.ms
          continue
        }
        if (each.do === 'start') {
          const { setCookie = '', body } = await send('/start')
          cookies.push({ sealed: setCookie, id: body.id, sealedAtMs: clock.nowMs })
          continue
        }
        const cookie = cookies[each.cookie % Math.max(1, cookies.length)]
        if (!cookie) continue
        const ageMs = clock.nowMs - cookie.sealedAtMs
        const isValid = ageMs < ttlMs
        const isOpen = isValid && !ended.has(cookie.id)
        const { body, setCookie } = await send(`/${each.do}`, cookie.sealed)
        if (each.do === 'peek') assert.is(body.session?.id, isValid ? cookie.id : undefined)
        if (each.do === 'use') assert.is(body.session?.id, isOpen ? cookie.id : undefined)
        if (each.do === 'view') assert.is(body.view !== null, isOpen)
        if (each.do === 'end') {
          assert.is(setCookie, '')
          if (isValid) ended.add(cookie.id)
          continue
        }
        const isRenewed = each.do !== 'peek' && isValid && ageMs > dayMs
        assert.is(setCookie !== undefined, isRenewed)
        if (setCookie !== undefined)
          cookies.push({ sealed: setCookie, id: cookie.id, sealedAtMs: clock.nowMs })
      }
      await app.close()
    }),
    { runs: 25 },
  )
})

test.run()
