import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import { createWebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('webhook routes')
const acme = newApiKey('acme', ['tenant'])
const globex = newApiKey('globex', ['tenant'])
const uploader = newApiKey('acme', ['uploads:read', 'uploads:write', 'tokens', 'act-as'])
const full = newApiKey('full', ['admin'])

const View = Type.Object({
  id: Type.String(),
  url: Type.String(),
  events: Type.Array(Type.String()),
  description: Type.String(),
  enabled: Type.Boolean(),
  disabledReason: Type.Optional(Type.String()),
  secret: Type.Optional(Type.String()),
  secrets: Type.Array(Type.Object({ createdAt: Type.String(), endsAt: Type.Optional(Type.String()) })),
  createdAt: Type.String(),
  updatedAt: Type.String(),
})
const List = Type.Object({ webhooks: Type.Array(View) })
const url = 'https://app.example/hooks'
const events = ['upload.ready']
let api: ApiInstances
let client: ReturnType<typeof createHttpClient>

test.before(async () => {
  api = await startApiInstances({
    count: 2,
    environment: {
      API_KEYS: [acme, globex, uploader, full].map(({ entry }) => entry).join(','),
      WEBHOOK_ALLOWED_NETWORKS: '10.1.0.0/16',
    },
  })
  client = createHttpClient(api.url)
})
test.after(() => api.close())

function send(method: string, path: string, json?: unknown, { key }: { key: string } = acme) {
  return client.request(method, path, { json, headers: { authorization: `Bearer ${key}` } })
}

async function create(fields: object = {}, as = acme) {
  const response = await send('POST', '/webhooks', { url, events, ...fields }, as)
  assert.is(response.status, 201)
  return bodyOf(response, View)
}

function assertProblem({ status, body }: HttpResponse, expected: [status: number, code: string]) {
  const code = typeof body === 'object' && body && 'code' in body ? body.code : undefined
  assert.equal([status, code], expected)
}

const storedWebhook = (id: string) => createWebhookStore(api).read(tenantKey('acme'), id)

test('a webhook is created with a secret that is shown once', async () => {
  const created = await create({ description: 'orders' })
  const { secret = '', ...view } = created
  assert.match(secret, /^whsec_[A-Za-z0-9+/]{43}=$/)
  assert.match(view.id, /^wh_[0-9a-f]{24}$/)
  assert.equal(
    [view.url, view.events, view.description, view.enabled, view.secrets.length],
    [url, events, 'orders', true, 1],
  )
  assert.is(view.createdAt, view.updatedAt)
  const read = await send('GET', `/webhooks/${view.id}`)
  assert.equal(read.body, view)
  const { webhooks } = bodyOf(await send('GET', '/webhooks'), List)
  assert.equal(
    webhooks.filter(({ id }) => id === view.id),
    [view],
  )
  assert.equal((await storedWebhook(view.id))?.secrets[0]?.secret, secret)
})

test('a webhook is changed field by field', async () => {
  const { secret: _, ...created } = await create()
  const changed = bodyOf(
    await send('PATCH', `/webhooks/${created.id}`, { events: ['upload.deleted'], enabled: false }),
    View,
  )
  assert.equal(changed, {
    ...created,
    events: ['upload.deleted'],
    enabled: false,
    updatedAt: changed.updatedAt,
  })
  const moved = { url: 'https://app.example:8443/x?y=1', description: 'd' }
  const { url: movedTo, description } = bodyOf(await send('PATCH', `/webhooks/${created.id}`, moved), View)
  assert.equal({ url: movedTo, description }, moved)
})

test('a webhook that Millrace disabled can be enabled again', async () => {
  const { id } = await create()
  await createWebhookStore(api).update(tenantKey('acme'), id, (current) => ({
    ...current,
    enabled: false,
    disabledReason: 'gone',
  }))
  assert.equal(bodyOf(await send('GET', `/webhooks/${id}`), View).disabledReason, 'gone')
  const { enabled, disabledReason } = bodyOf(await send('PATCH', `/webhooks/${id}`, { enabled: true }), View)
  assert.equal([enabled, disabledReason], [true, undefined])
})

test('after a rotation two secrets are valid for 24 hours, and never more', async () => {
  const { id, secret: first = '' } = await create()
  const rotated = bodyOf(await send('POST', `/webhooks/${id}/rotate-secret`), View)
  const second = rotated.secret ?? ''
  assert.is.not(second, first)
  const [newest, oldest] = (await storedWebhook(id))?.secrets ?? []
  assert.equal([newest?.secret, oldest?.secret, newest?.endsAt], [second, first, undefined])
  const hours = (Date.parse(oldest?.endsAt ?? '') - Date.parse(newest?.createdAt ?? '')) / 3_600_000
  assert.is(hours, 24)
  assert.equal(
    rotated.secrets.map(({ endsAt }) => endsAt),
    [undefined, oldest?.endsAt],
  )
  await send('POST', `/webhooks/${id}/rotate-secret`)
  const secrets = (await storedWebhook(id))?.secrets ?? []
  assert.equal([secrets.length, secrets[1]?.secret], [2, second])
})

test('a deleted webhook is gone at once', async () => {
  const { id } = await create()
  assert.is((await send('DELETE', `/webhooks/${id}`)).status, 204)
  assertProblem(await send('GET', `/webhooks/${id}`), [404, 'webhook_not_found'])
  assertProblem(await send('DELETE', `/webhooks/${id}`), [404, 'webhook_not_found'])
  const { webhooks } = bodyOf(await send('GET', '/webhooks'), List)
  assert.not.ok(webhooks.some((webhook) => webhook.id === id))
})

test("another tenant's webhook is not found, as one that does not exist or a malformed id", async () => {
  const { id } = await create()
  const others: [string, typeof acme][] = [
    [id, globex],
    ['wh_000000000000000000000000', acme],
    ['..%2F..%2Fx', acme],
  ]
  for (const [path, key] of others) {
    for (const [method, suffix, json] of [
      ['GET', '', undefined],
      ['PATCH', '', { enabled: false }],
      ['POST', '/rotate-secret', undefined],
      ['DELETE', '', undefined],
    ] as const) {
      assertProblem(await send(method, `/webhooks/${path}${suffix}`, json, key), [404, 'webhook_not_found'])
    }
  }
  assert.equal((await send('GET', '/webhooks', undefined, globex)).body, { webhooks: [] })
  assert.ok((await storedWebhook(id))?.enabled)
})

test('webhooks need the scope tenant, which admin includes', async () => {
  assertProblem(await send('GET', '/webhooks', undefined, uploader), [403, 'forbidden'])
  assertProblem(await send('POST', '/webhooks', { url, events }, uploader), [403, 'forbidden'])
  assertProblem(await client.get('/webhooks'), [401, 'unauthenticated'])
  assert.is((await send('GET', '/webhooks', undefined, full)).status, 200)
})

test('a webhook is refused if its URL is not public, has credentials, or is no URL of http', async () => {
  const refused = [
    'http://127.0.0.1/hook',
    'http://localhost:3000/hook',
    'http://app.localhost/hook',
    'http://2130706433/',
    'http://0x7f.1/',
    'http://10.0.0.1/',
    'http://192.168.1.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[fe80::1]/',
    'http://[fd00:ec2::254]/',
    'http://0.0.0.0/',
    'https://user:secret@app.example/',
    'https://user@app.example/',
    'ftp://app.example/',
    'file:///etc/passwd',
    'not a URL',
    '/hooks',
  ]
  for (const each of refused) {
    const response = await send('POST', '/webhooks', { url: each, events })
    assertProblem(response, [400, 'webhook_url_refused'])
    assert.not.match(JSON.stringify(response.body), 'secret')
  }
  const { id } = await create()
  assertProblem(await send('PATCH', `/webhooks/${id}`, { url: 'http://10.0.0.1/' }), [
    400,
    'webhook_url_refused',
  ])
  assert.is((await storedWebhook(id))?.url, url)
})

test('a webhook may use any port, and an allowed private network', async () => {
  for (const each of [
    'https://app.example:8443/hooks?a=b',
    'http://10.1.2.3:9000/',
    'http://93.184.216.34/',
  ]) {
    const created = await create({ url: each })
    assert.is(created.url, each)
    await send('DELETE', `/webhooks/${created.id}`)
  }
})

test('a request that does not match the schema is refused and stores nothing', async () => {
  const before = bodyOf(await send('GET', '/webhooks'), List).webhooks.length
  const wrong = [
    {},
    { url },
    { events },
    { url, events: [] },
    { url, events: ['upload.unknown'] },
    { url, events: ['upload.ready', 'upload.ready'] },
    { url, events, description: 'x'.repeat(257) },
    { url, events, enabled: 'yes' },
    { url, events, secret: 'whsec_c2VjcmV0' },
    { url: `https://app.example/${'x'.repeat(2048)}`, events },
    { url, events, description: 'a\0b' },
  ]
  for (const json of wrong) assertProblem(await send('POST', '/webhooks', json), [400, 'invalid_request'])
  assert.is(bodyOf(await send('GET', '/webhooks'), List).webhooks.length, before)
  const { id } = await create()
  for (const json of [{}, { id: 'wh_1' }, { events: [] }, { secrets: [] }]) {
    assertProblem(await send('PATCH', `/webhooks/${id}`, json), [400, 'invalid_request'])
  }
})

test('a tenant has at most 20 webhooks, also if they are created at once', async () => {
  const responses = await Promise.all(
    Array.from({ length: 24 }, () => send('POST', '/webhooks', { url, events }, full)),
  )
  const statuses = responses.map(({ status }) => status)
  assert.equal(
    statuses.filter((status) => status !== 201 && status !== 409),
    [],
  )
  const { webhooks } = bodyOf(await send('GET', '/webhooks', undefined, full), List)
  assert.ok(webhooks.length <= 20, `${webhooks.length} webhooks`)
  assert.is(webhooks.length, statuses.filter((status) => status === 201).length)
  for (let more = webhooks.length; more < 20; more++) await create({}, full)
  assertProblem(await send('POST', '/webhooks', { url, events }, full), [409, 'too_many_webhooks'])
})

test.run()
