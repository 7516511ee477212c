import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Scope } from '@millrace/api/credentials/caller.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { collectRoutes, type Route } from '../../support/app-routes.ts'
import { suite } from '../../support/suite.ts'
import { authorizedRoutes, sendToRoute } from '../../support/valid-request.ts'

const test = suite('scopes of routes')
const scopes = Scope.anyOf.map((literal) => literal.const)

/** The scope that a key needs for each route. HEAD needs what GET needs. */
const routesOf: Record<Exclude<Scope, 'act-as'>, string[]> = {
  'uploads:read': [
    ...['GET /session', 'PUT /session', 'PUT /session/key', 'DELETE /session/key'],
    ...['GET /uploads', 'GET /uploads/:id', 'GET /uploads/:id/evidence', 'GET /presets'],
    ...['GET /uploads/:id/parts', 'GET /uploads/:id/original', 'GET /uploads/:id/variants/:name'],
    ...['GET /uploads/:id/events', 'GET /events', 'GET /uppy/s3/multipart/:id'],
  ],
  'uploads:write': [
    ...['DELETE /session', 'POST /uploads', 'POST /uploads/:id/parts', 'POST /uploads/:id/complete'],
    ...['POST /uploads/:id/reprocess', 'PATCH /uploads/:id', 'DELETE /uploads/:id'],
    ...['POST /uploads/reprocess', 'POST /uploads/delete'],
    ...['POST /upload', 'PUT /upload', 'PUT /upload/*', 'DELETE /upload'],
    // The offset is of use only to who sends the rest.
    ...['POST /tus', 'HEAD /tus/:id', 'PATCH /tus/:id', 'DELETE /tus/:id', 'POST /tus/:id'],
    // Uppy starts and signs with GET.
    ...['GET /uppy/s3/params', 'POST /uppy/s3/multipart', 'GET /uppy/s3/multipart/:id/:partNumber'],
    ...['POST /uppy/s3/multipart/:id/complete', 'DELETE /uppy/s3/multipart/:id'],
  ],
  tokens: ['POST /tokens', 'DELETE /tokens/:id'],
  tenant: [
    ...['POST /keys', 'GET /keys', 'DELETE /keys/:id'],
    ...['GET /users', 'DELETE /users', 'GET /erasures/:id', 'GET /usage'],
    ...[
      'POST /webhooks',
      'GET /webhooks',
      'GET /webhooks/:id',
      'PATCH /webhooks/:id',
      'DELETE /webhooks/:id',
    ],
    ...['POST /webhooks/:id/rotate-secret', 'POST /webhooks/:id/test', 'GET /webhooks/:id/deliveries'],
    'POST /webhooks/:id/deliveries/:deliveryId/replay',
  ],
  admin: [
    ...['GET /admin/cluster', 'GET /admin/cluster/events', 'GET /load/:ms', 'GET /metrics'],
    ...['GET /admin/dead-letters', 'POST /admin/dead-letters/redrive'],
    ...['GET /admin/queues', 'GET /admin/queues/*', 'PUT /admin/queues/*'],
  ],
}

/** By scope: a key that has this one only, and one that has all others that do not include it. */
const keys = new Map(
  scopes.map((scope) => {
    const others = scopes.filter((other) => other !== scope && !(scope === 'tenant' && other === 'admin'))
    return [scope, { only: newApiKey('acme', [scope]), allOthers: newApiKey('acme', others) }]
  }),
)
let api: ApiInstances
let routes: (Route & { needs: Scope })[]

function scopeNeededBy({ method, url }: Route): Scope {
  const names = [`${method} ${url}`, ...(method === 'HEAD' ? [`GET ${url}`] : [])]
  const needed = scopes.filter(
    (scope) => scope !== 'act-as' && names.some((name) => routesOf[scope].includes(name)),
  )
  assert.is(needed.length, 1, `${method} ${url} must be in the table once`)
  return needed[0] ?? 'admin'
}

test.before(async () => {
  const environment = {
    API_KEYS: [...keys.values()].flatMap(({ only, allOthers }) => [only.entry, allOthers.entry]).join(','),
    RATE_LIMIT_PER_MINUTE: '0',
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '0',
  }
  const collected = await collectRoutes(() => startApiInstances({ environment }))
  api = collected.started
  routes = authorizedRoutes(collected.routes).map((route) => ({ ...route, needs: scopeNeededBy(route) }))
})
test.after(() => api.close())

const send = (route: Route, headers: Record<string, string>) =>
  sendToRoute(api.url, route, newUploadId(), headers)
const keyFor = (scope: Scope, kind: 'only' | 'allOthers') => keys.get(scope)?.[kind].key ?? ''
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

test('the table of scopes has no route that does not exist', () => {
  const names = new Set(routes.map(({ method, url }) => `${method} ${url}`))
  assert.equal(
    Object.values(routesOf)
      .flat()
      .filter((name) => !names.has(name)),
    [],
  )
})

test('a key with all scopes but the one that a route needs is refused by every route', async () => {
  for (const route of routes) {
    const name = `${route.method} ${route.url}`
    const { status, body } = await send(route, bearer(keyFor(route.needs, 'allOthers')))
    assert.is(status, 403, name)
    if (route.method === 'HEAD') continue
    const { code, detail } = JSON.parse(body)
    assert.equal([code, detail], ['forbidden', `The API key does not have the scope ${route.needs}.`], name)
  }
})

test('a key with no scope but the one that a route needs is admitted by every route, and refused by all others', async () => {
  for (const route of routes) {
    const answers = await Promise.all(scopes.map((scope) => send(route, bearer(keyFor(scope, 'only')))))
    for (const [index, scope] of scopes.entries()) {
      const isAdmitted = scope === route.needs || (scope === 'admin' && route.needs === 'tenant')
      const { status = 0, body = '' } = answers[index] ?? {}
      const name = `${route.method} ${route.url} with ${scope}`
      if (!isAdmitted) assert.is(status, 403, name)
      // A key that is no user cannot sign in as one, and the board does not do everything: refusals by the routes themselves.
      else if (status === 403)
        assert.match(body, /Only users sign in this way|Here, queues can be paused/, name)
      else assert.is.not(status, 401, name)
    }
  }
})

test('a session of a key is refused by every route whose scope its key does not have', async () => {
  for (const scope of scopes) {
    const signedIn = await api.app.inject({
      method: 'PUT',
      url: '/session/key',
      payload: { key: keyFor(scope, 'allOthers') },
    })
    assert.is(signedIn.statusCode, 200)
    const cookie = String(signedIn.headers['set-cookie']).split(';')[0] ?? ''
    const headers = { cookie, origin: api.environment.PUBLIC_ORIGIN }
    for (const route of routes) {
      // Everybody may read, label and end its own session.
      if (route.needs !== scope || route.url.startsWith('/session')) continue
      const { status, body } = await send(route, headers)
      const name = `${route.method} ${route.url}`
      assert.is(status, 403, name)
      if (route.method === 'HEAD') continue
      assert.is(JSON.parse(body).detail, `The session does not have the scope ${scope}.`, name)
    }
  }
})

test('a stranger is refused by every route of a tenant, and by every route that administers', async () => {
  for (const route of routes) {
    if (route.needs.startsWith('uploads:')) continue
    assert.is((await send(route, {})).status, 401, `${route.method} ${route.url}`)
  }
})

test('the scheme of the header Authorization is accepted in upper and lower case', async () => {
  const key = keyFor('uploads:read', 'only')
  for (const authorization of [`bearer ${key}`, `BEARER ${key}`, `Bearer   ${key}`]) {
    const { statusCode } = await api.app.inject({ url: '/uploads', headers: { authorization } })
    assert.is(statusCode, 200, authorization)
  }
})

test.run()
