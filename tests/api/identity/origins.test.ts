import { randomBytes, randomUUID } from 'node:crypto'
import type { Caller, FindCaller, Scope } from '@millrace/api/credentials/caller.ts'
import { authorize } from '@millrace/api/identity/authorize.ts'
import { createNewSessions } from '@millrace/api/identity/new-sessions.ts'
import { createSessionCookie } from '@millrace/api/identity/session-cookie.ts'
import { createSessionRecords } from '@millrace/api/identity/session-records.ts'
import { createSignIns } from '@millrace/api/identity/sign-ins.ts'
import { registerErrorHandler } from '@millrace/api/requests/problem.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createAllowedOrigins } from '@millrace/shared/network/allowed-origins.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import fc from 'fast-check'
import { fastify } from 'fastify'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('origins of requests')
const ttlMs = 60 * 60_000
let redis: Redis

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
})
test.after(() => redis.disconnect())

const ada: Caller = {
  ...{ kind: 'token', id: 'token-1', tenant: 'acme', user: 'ada', owner: userOwner('acme', 'ada') },
  ...{ scopes: new Set<Scope>(['uploads:read', 'uploads:write']), endsAtMs: undefined },
  hasEnded: async () => false,
}

/** Starts a route that writes, one that reads, and those that sign a session in. */
async function start(publicOrigin: string, allowed: string[] = []) {
  const cookie = createSessionCookie({ keys: [randomBytes(32)], ttlMs, secure: false, name: 'millrace' })
  const prefix = `test-${randomUUID()}`
  const newSessions = createNewSessions({ redis, prefix, limitPerHour: 0 })
  const sessions = createSessionRecords({ redis, prefix, ttlMs, newSessions })
  const finders: FindCaller[] = [(token) => (token === 'a.b.c' ? ada : undefined)]
  const signIns = createSignIns({ finders, keyFinders: finders, findKey: () => undefined, sessions })
  const app = fastify()
  registerErrorHandler(app)
  app.register(async (scope) => {
    authorize(scope, {
      ...{ finders, publicOrigin, openAdmin: false, anonymousUploads: true, cookie, sessions, signIns },
      allowedOrigins: createAllowedOrigins({ allowedOrigins: allowed, publicOrigin }),
    })
    cookie.register(scope)
    scope.post('/', async ({ caller }) => ({ user: caller?.user ?? null }))
    scope.get('/', async ({ caller }) => ({ user: caller?.user ?? null }))
    scope.put('/session', { config: { isSession: true, scope: 'uploads:read' } }, async (request) => {
      if (request.caller) cookie.signIn(request, signIns.seal(request.caller, 'a.b.c'), false)
      return {}
    })
  })
  await app.ready()
  const send = async (method: 'GET' | 'POST' | 'PUT', headers: Record<string, string>) => {
    const response = await app.inject({ method, url: method === 'PUT' ? '/session' : '/', headers })
    const { code, user } = response.json()
    const [sealed = ''] = String(response.headers['set-cookie'] ?? '').split(';')
    return { status: response.statusCode, code, user, sealed }
  }
  return { app, send }
}

const scheme = fc.constantFrom('http', 'https')
const name = fc.constantFrom(
  'localhost',
  'files.example',
  'app.files.example',
  'files.example.evil.test',
  '127.0.0.1',
  '[::1]',
)
const port = fc.constantFrom('', ':80', ':443', ':3000', ':3001', ':30000')

/** The parts of an origin, the port as a number. */
function partsOf(origin: string): string[] {
  const { protocol, hostname, port: explicit } = new URL(origin)
  return [protocol, hostname, explicit === '' ? (protocol === 'https:' ? '443' : '80') : explicit]
}

test('a page writes with a cookie only if scheme, name and port are those of the API', async () => {
  for (const publicOrigin of ['http://localhost:3000', 'https://files.example']) {
    const { app, send } = await start(publicOrigin)
    await checkProperty(
      fc.asyncProperty(scheme, name, port, name, port, async (pageScheme, page, pagePort, host, hostPort) => {
        // As browsers write it: without a default port.
        const { origin } = new URL(`${pageScheme}://${page}${pagePort}`)
        const requested = `${host}${hostPort}`
        const isHttps = publicOrigin.startsWith('https:')
        const parts = partsOf(origin)
        const isOwn =
          String(parts) === String(partsOf(publicOrigin)) ||
          // The API is known by further names. Clients leave out the default port of the page's scheme.
          (String(parts) === String(partsOf(`${pageScheme}://${requested}`)) &&
            new URL(origin).host === requested &&
            !(isHttps && pageScheme === 'http'))
        const { status, code } = await send('POST', { host: requested, origin })
        assert.equal(
          [status, code],
          isOwn ? [200, undefined] : [403, 'cross_site'],
          `${origin} → ${requested}, PUBLIC_ORIGIN ${publicOrigin}`,
        )
        // Reading is left to the browser, which shows the response to no page of another origin.
        assert.is((await send('GET', { host: requested, origin })).status, 200)
      }),
      { runs: 300 },
    )
    await app.close()
  }
})

test('another port of the same host is another origin, whether the host is the public one or not', async () => {
  const { app, send } = await start('http://localhost:3000')
  for (const [host, origin, status] of [
    ['127.0.0.1:3000', 'http://127.0.0.1:3000', 200],
    ['127.0.0.1:3000', 'http://127.0.0.1:3001', 403],
    ['127.0.0.1:3000', 'http://127.0.0.1', 403],
    ['127.0.0.1', 'http://127.0.0.1:3000', 403],
    ['127.0.0.1', 'http://127.0.0.1', 200],
    ['localhost:3000', 'http://localhost:3001', 403],
    ['[::1]:3000', 'http://[::1]:3001', 403],
    ['[::1]:3000', 'http://[::1]:3000', 200],
  ] as const) {
    assert.is((await send('POST', { host, origin })).status, status, `${origin} → ${host}`)
  }
  await app.close()
})

test('without Origin, Sec-Fetch-Site says whether a page of another origin wrote', async () => {
  const { app, send } = await start('http://localhost:3000')
  for (const [site, status] of [
    ['same-origin', 200],
    ['none', 200],
    ['same-site', 403],
    ['cross-site', 403],
    ['unknown', 403],
  ] as const) {
    assert.is((await send('POST', { 'sec-fetch-site': site })).status, status, site)
  }
  assert.is((await send('POST', {})).status, 200, 'no browser')
  await app.close()
})

test('a page of another origin can neither sign a browser in nor write for a user that is signed in', async () => {
  const sameSite = 'http://localhost:5173'
  const { app, send } = await start('http://localhost:3000', [sameSite])
  const own = { origin: 'http://localhost:3000' }
  const credential = { authorization: 'Bearer a.b.c' }
  for (const headers of [
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
  ]) {
    const refused = await send('PUT', { ...headers, ...credential })
    assert.equal([refused.status, refused.code, refused.sealed], [403, 'cross_site', ''])
  }
  const { sealed } = await send('PUT', { ...own, ...credential })
  assert.ok(sealed)
  for (const [headers, status] of [
    [own, 200],
    [{ origin: sameSite }, 200],
    [{ origin: 'http://localhost:5174' }, 403],
    [{ origin: 'https://evil.example' }, 403],
    [{ 'sec-fetch-site': 'cross-site' }, 403],
    [{ 'sec-fetch-site': 'same-site' }, 403],
  ] as const) {
    const written = await send('POST', { ...headers, cookie: sealed })
    assert.is(written.status, status, JSON.stringify(headers))
    assert.is(written.user, status === 200 ? 'ada' : undefined)
    // A credential that the page itself sends is no cookie of somebody else.
    assert.is((await send('POST', { ...headers, ...credential })).status, 200)
  }
  await app.close()
})

test.run()
