import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { collectRoutes, type Route } from '../../support/app-routes.ts'
import { createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { announce, formOf } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { authorizedRoutes, sendToRoute } from '../../support/valid-request.ts'

const test = suite('ended sessions', {}, { limitMs: 60_000 })
const backend = newApiKey('acme', ['uploads:read', 'uploads:write', 'act-as', 'tokens', 'tenant'])
const announcement = { filename: 'a.txt', contentType: 'text/plain', size: 7 }
let api: ApiInstances
let routes: Route[]

test.before(async () => {
  const environment = {
    API_KEYS: backend.entry,
    RATE_LIMIT_PER_MINUTE: '0',
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '0',
    MAX_NEW_OWNERS_PER_ADDRESS_PER_HOUR: '0',
  }
  const collected = await collectRoutes(() => startApiInstances({ environment }))
  api = collected.started
  routes = authorizedRoutes(collected.routes)
})
test.after(() => api.close())

/** A session with an upload that is waited for. */
type Owned = { client: HttpClient; owner: string; id: string }

async function anonymous(): Promise<Owned> {
  const client = createHttpClient(api.url)
  const announced = await announce(client, 7)
  const [, owner = ''] = /originals\/([^/]+)\//.exec(formOf(announced).fields['key'] ?? '') ?? []
  return { client, owner, id: announced.id }
}

async function signedInUser(): Promise<Owned> {
  const client = createHttpClient(api.url)
  const headers = { authorization: `Bearer ${backend.key}`, 'millrace-user': 'ada' }
  assert.is((await client.request('PUT', '/session', { headers })).status, 204)
  const { id } = await announce(client, 7)
  return { client, owner: userOwner('acme', 'ada'), id }
}

async function signedInKey(): Promise<Owned> {
  const client = createHttpClient(api.url)
  assert.is((await client.put('/session/key', { key: backend.key })).status, 200)
  const headers = { origin: api.environment.PUBLIC_ORIGIN }
  const { body } = await client.post('/uploads', announcement, { headers })
  assert.ok(typeof body === 'object' && body !== null && 'id' in body)
  return { client, owner: 'acme', id: String(body.id) }
}

/** Returns what tells two responses apart: status, code of the problem, and whether a cookie is set. */
function essenceOf({ status, headers, body }: Awaited<ReturnType<typeof sendToRoute>>) {
  const isProblem = headers.get('content-type') === 'application/problem+json' && body !== ''
  const cookies = headers.getSetCookie().map((cookie) => cookie.startsWith('millrace=;'))
  return { status, code: isProblem ? JSON.parse(body).code : undefined, cookies }
}

for (const [kind, start] of [
  ['an anonymous session', anonymous],
  ['the session of a user', signedInUser],
  ['the session of an API key', signedInKey],
] as const) {
  test(`on every route, a copied cookie of ${kind} that was ended does what no cookie does`, async () => {
    const { client, owner, id } = await start()
    const cookie = client.cookie ?? ''
    const headers = { cookie, origin: api.environment.PUBLIC_ORIGIN }
    assert.is((await sendToRoute(api.url, { method: 'GET', url: '/uploads/:id' }, id, headers)).status, 200)
    const ended = await client.request('DELETE', '/session', { headers: { origin: headers.origin } })
    assert.is(ended.status, 204)
    const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
    const before = await records.find({ owner, id })
    assert.is(before?.upload.state, 'awaiting')

    for (const route of routes) {
      const name = `${route.method} ${route.url}`
      const copy = await sendToRoute(api.url, route, id, headers)
      const stranger = await sendToRoute(api.url, route, id, { origin: headers.origin })
      // It is deleted again. A stranger has none.
      const deletesCookie = name === 'DELETE /session' || (name === 'DELETE /session/key' && owner === 'acme')
      const expected = essenceOf(stranger)
      assert.equal(essenceOf(copy), deletesCookie ? { ...expected, cookies: [true] } : expected, name)
      assert.not.match(copy.body, `originals/${owner}/`, name)
    }
    assert.equal(await records.find({ owner, id }), before, 'the upload is as it was')
    const { uploads } = JSON.parse(
      (await sendToRoute(api.url, { method: 'GET', url: '/uploads' }, id, headers)).body,
    )
    assert.equal(uploads, [])
  })
}

test('a user that signs in with a copied cookie of an ended session gets another session', async () => {
  const { client } = await signedInUser()
  const copy = createHttpClient(api.url, client.cookie)
  assert.is((await client.delete('/session')).status, 204)
  const headers = { authorization: `Bearer ${backend.key}`, 'millrace-user': 'ada' }
  assert.is((await copy.request('PUT', '/session', { headers })).status, 204)
  const session = await copy.get('/session')
  assert.match(JSON.stringify(session.body), '"user":"ada"')
  assert.is((await copy.get('/uploads')).status, 200)
})

test('a key that signs in with a copied cookie of an ended session does not bring it back when it signs out', async () => {
  const { client } = await anonymous()
  const copy = createHttpClient(api.url, client.cookie)
  assert.is((await client.delete('/session')).status, 204)
  assert.is((await copy.put('/session/key', { key: backend.key })).status, 200)
  // As later, when the mark of the ended session has expired.
  const records = await api.redis.keys(`${api.prefix}:session:*`)
  const expired = await Promise.all(records.map((key) => api.redis.hdel(key, 'ended')))
  assert.ok(expired.includes(1))
  const headers = { origin: api.environment.PUBLIC_ORIGIN }
  assert.is((await copy.request('DELETE', '/session/key', { headers })).status, 204)
  assert.is(copy.cookie, undefined)
})

test.run()
