import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { CreatedKey, KeyPage } from '@millrace/api/tenants/key-routes.ts'
import { createKeyStore, maxKeysPerTenant } from '@millrace/shared/tenants/key-store.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('API keys at run time')
const tenant = newApiKey('acme', ['uploads:read', 'uploads:write', 'act-as', 'tenant'])
const operator = newApiKey('ops', ['uploads:read', 'admin'])
const reader = newApiKey('acme', ['uploads:read'])
const foreign = newApiKey('globex', ['uploads:read', 'tenant'])
const decadeSeconds = 10 * 365 * 24 * 60 * 60
let api: ApiInstances

test.before(async () => {
  const entries = [tenant, operator, reader, foreign].map(({ entry }) => entry).join(',')
  api = await startApiInstances({ count: 2, environment: { API_KEYS: entries } })
})
test.after(() => api.close())

const client = (instance = 0) => createHttpClient(api.urls[instance] ?? '')
const bearer = (key: string) => ({ headers: { authorization: `Bearer ${key}` } })
const codeOf = (response: HttpResponse) => bodyOf(response, Problem).code

async function create(json: object, as = tenant.key) {
  const response = await client().post('/keys', json, bearer(as))
  assert.is(response.status, 201, JSON.stringify(response.body))
  return bodyOf(response, CreatedKey)
}

async function list(as: string, query = '') {
  return bodyOf(await client(1).get(`/keys${query}`, bearer(as)), KeyPage)
}

const revoke = (id: string, as = tenant.key, query = '') =>
  client().request('DELETE', `/keys/${id}${query}`, bearer(as))

/** Uses a key on an instance until the response has this status: a message tells the other instance. */
async function useUntil(status: number, key: string, instance: number): Promise<void> {
  await until(async () => {
    const response = await client(instance).get('/uploads', bearer(key))
    assert.ok([200, 401].includes(response.status), String(response.status))
    return response.status === status
  })
}

test('a created key is accepted by all instances, and by none after it is revoked', async () => {
  const created = await create({ scopes: ['uploads:read'], description: 'the shop' })
  assert.match(created.key, /^mr_[A-Za-z0-9_-]{43}$/)
  assert.equal(
    [created.tenant, created.scopes, created.description, created.lastUsedAt],
    ['acme', ['uploads:read'], 'the shop', null],
  )
  assert.is((await client(0).get('/uploads', bearer(created.key))).status, 200)
  await useUntil(200, created.key, 1)
  const write = await client(0).post(
    '/uploads',
    { filename: 'a', contentType: 'a/b', size: 1 },
    bearer(created.key),
  )
  assert.is(codeOf(write), 'forbidden')

  assert.is((await revoke(created.id)).status, 204)
  const refused = await client(0).get('/uploads', bearer(created.key))
  assert.equal([refused.status, codeOf(refused)], [401, 'unauthenticated'])
  await useUntil(401, created.key, 1)
  const again = await revoke(created.id)
  assert.equal([again.status, codeOf(again)], [404, 'key_not_found'])
})

test('a revoked key ends its event streams on all instances, and no others', async () => {
  const created = await create({ scopes: ['uploads:read'] })
  await useUntil(200, created.key, 1)
  const open = (key: string) =>
    api.urls.map((base) => openEventStream(new URL('/events', base), client(), undefined, key))
  const own = await Promise.all(open(created.key))
  const others = await Promise.all(open(reader.key))
  for (const stream of [...own, ...others]) assert.ok(await stream.next())
  await revoke(created.id)
  for (const stream of own) assert.is(await stream.next(), undefined)
  for (const stream of others) {
    const next = stream.next()
    assert.is(await Promise.race([next, Promise.resolve('open')]), 'open')
    stream.close()
    await next.catch(() => undefined)
  }
})

test('a key cannot have a scope that its creator does not have, nor belong to another tenant', async () => {
  const post = (json: object, as: string) => client().post('/keys', json, bearer(as))
  for (const scope of ['admin', 'tokens']) {
    const response = await post({ scopes: ['uploads:read', scope] }, tenant.key)
    assert.equal([response.status, codeOf(response)], [403, 'forbidden'], scope)
  }
  const other = await post({ scopes: ['uploads:read'], tenant: 'globex' }, tenant.key)
  assert.equal([other.status, codeOf(other)], [403, 'forbidden'])
  assert.is((await client().get('/keys?tenant=globex', bearer(tenant.key))).status, 403)
  assert.is((await post({ scopes: ['uploads:read'] }, reader.key)).status, 403)
  assert.is((await post({ scopes: ['act-as'] }, operator.key)).status, 403)
  assert.is((await client().post('/keys', { scopes: ['uploads:read'] })).status, 401)
  // A key that was created hands out no more than it has, either.
  const limited = await create({ scopes: ['tenant'] })
  assert.is((await post({ scopes: ['uploads:read'] }, limited.key)).status, 403)
  await revoke(limited.id)
})

test("another tenant's key is not found, and an operator creates, lists and revokes keys of any tenant", async () => {
  const created = await create({ scopes: ['tenant'], tenant: 'initech' }, operator.key)
  assert.is(created.tenant, 'initech')
  assert.match(created.createdBy, /^key-[0-9a-f]{32}$/)
  const other = await revoke(created.id, foreign.key)
  assert.equal([other.status, codeOf(other)], [404, 'key_not_found'])
  assert.is((await revoke(created.id, operator.key)).status, 404)
  assert.equal((await list(foreign.key)).keys, [])
  assert.equal(
    (await list(operator.key, '?tenant=initech')).keys.map(({ id }) => id),
    [created.id],
  )
  assert.equal(
    (await list(created.key)).keys.map(({ id }) => id),
    [created.id],
  )
  assert.is((await revoke(created.id, operator.key, '?tenant=initech')).status, 204)
})

test('GET /keys lists keys page by page, also if the caller names its own tenant, with the hour of their last use, without keys and hashes', async () => {
  const keys = []
  for (const description of ['a', 'b', 'c']) {
    keys.push(await create({ scopes: ['uploads:read'], description }, tenant.key))
  }
  const [used] = keys
  assert.ok(used)
  assert.is((await client().get('/uploads', bearer(used.key))).status, 200)
  const first = await list(tenant.key, '?limit=2')
  assert.equal(
    first.keys.map(({ description }) => description),
    ['a', 'b'],
  )
  const second = await list(tenant.key, `?limit=2&cursor=${first.nextCursor}&tenant=acme`)
  assert.equal([second.keys.map(({ description }) => description), second.nextCursor], [['c'], undefined])
  assert.match(first.keys[0]?.lastUsedAt ?? '', /^\d{4}-\d\d-\d\dT\d\d:00:00\.000Z$/)
  assert.is(first.keys[1]?.lastUsedAt, null)
  const text = JSON.stringify([first, second])
  for (const { key } of keys) assert.not.ok(text.includes(key))
  assert.not.match(text, /[0-9a-f]{64}/)
  for (const { id } of keys) await revoke(id)
})

test('an expired key is refused, and makes room for a new one', async () => {
  const store = createKeyStore(api)
  const fields = { tenant: 'full', scopes: ['uploads:read'], description: '', createdBy: 'test' }
  const post = () =>
    client().post('/keys', { scopes: ['uploads:read'], tenant: 'full' }, bearer(operator.key))
  await Promise.all(Array.from({ length: maxKeysPerTenant }, () => store.create(fields)))
  const refused = await post()
  assert.equal([refused.status, codeOf(refused)], [409, 'too_many_keys'])

  const [first] = (await list(operator.key, '?tenant=full')).keys
  assert.ok(first)
  await revoke(first.id, operator.key, '?tenant=full')
  const expired = await store.create({ ...fields, expiresAtMs: Date.now() - 1 })
  await api.redis.publish(`${api.prefix}:api-keys`, '')
  await until(async () => {
    const response = await client().get('/uploads', bearer(expired.key))
    assert.is(response.status, 401)
    return bodyOf(response, Problem).detail === 'The API key has expired.'
  })
  assert.is((await post()).status, 201)
  assert.is((await client().get('/uploads', bearer(expired.key))).status, 401)
})

test('a key expires as many seconds after its creation as its creator said, up to 10 years, or never', async () => {
  const { id, createdAt, expiresAt = '' } = await create({ scopes: ['uploads:read'], expiresIn: 3_600 })
  const lifeMs = Date.parse(expiresAt) - Date.parse(createdAt)
  // The key is stored a moment after its end was decided.
  assert.ok(lifeMs <= 3_600_000 && lifeMs > 3_570_000, `${lifeMs} ms`)
  const decade = await create({ scopes: ['uploads:read'], expiresIn: decadeSeconds })
  assert.ok(Date.parse(decade.expiresAt ?? '') > Date.now() + (decadeSeconds - 60) * 1000, decade.expiresAt)
  const endless = await create({ scopes: ['uploads:read'] })
  assert.is(endless.expiresAt, undefined)
  for (const each of [id, decade.id, endless.id]) await revoke(each)
})

test('invalid requests for keys are refused', async () => {
  const invalid: object[] = [
    {},
    { scopes: [] },
    { scopes: ['root'] },
    { scopes: ['uploads:read', 'uploads:read'] },
    { scopes: 'uploads:read' },
    { scopes: ['uploads:read'], expiresIn: 0 },
    { scopes: ['uploads:read'], expiresIn: decadeSeconds + 1 },
    { scopes: ['uploads:read'], expiresIn: 1.5 },
    { scopes: ['uploads:read'], description: 'x'.repeat(257) },
    { scopes: ['uploads:read'], tenant: 'u-acme' },
    { scopes: ['uploads:read'], tenant: '../x' },
    { scopes: ['uploads:read'], owner: 'globex' },
  ]
  for (const json of invalid) {
    const response = await client().post('/keys', json, bearer(operator.key))
    assert.equal([response.status, codeOf(response)], [400, 'invalid_request'], JSON.stringify(json))
  }
  for (const query of ['?cursor=x', '?limit=0', '?limit=101', '?other=1']) {
    assert.is((await client().get(`/keys${query}`, bearer(tenant.key))).status, 400, query)
  }
  for (const id of ['x', `key-${'0'.repeat(32)}`, `key-${'0'.repeat(32)}.json`, '..%2f..']) {
    assert.is(codeOf(await revoke(id)), 'key_not_found', id)
  }
})

test.run()
