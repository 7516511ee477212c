import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { SessionView } from '@millrace/api/identity/session-routes.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Announced, UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { parseOriginalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createTenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { formOf } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('acting as a user')
const shop = newApiKey('shop', ['uploads:read', 'uploads:write', 'act-as'])
const blog = newApiKey('blog', ['uploads:read', 'uploads:write', 'act-as'])
const plain = newApiKey('shop', ['uploads:read', 'uploads:write', 'tenant'])
const file = { filename: 'a.txt', contentType: 'text/plain', size: 7 }
let api: ApiInstances

test.before(async () => {
  const entries = [shop, blog, plain].map(({ entry }) => entry).join(',')
  api = await startApiInstances({ count: 2, environment: { API_KEYS: entries, QUOTA_FILES_TOTAL: '2' } })
})
test.after(() => api.close())

const as = (key: string, user?: string) => ({
  headers: {
    authorization: `Bearer ${key}`,
    ...(user !== undefined && { 'millrace-user': encodeURIComponent(user) }),
  },
})

async function announceAs(key: string, user?: string) {
  const response = await createHttpClient(api.url).post('/uploads', file, as(key, user))
  const announced = bodyOf(response, Announced)
  return { id: announced.id, owner: parseOriginalKey(formOf(announced).fields['key'] ?? '')?.owner ?? '' }
}

async function idsOf(key: string, user?: string, base = api.url): Promise<string[]> {
  const response = await createHttpClient(base).get('/uploads', as(key, user))
  return bodyOf(response, UploadPage).uploads.map(({ id }) => id)
}

test('users of a tenant, the same user of another tenant, and the tenant itself do not see each other', async () => {
  const callers: [key: string, user?: string][] = [
    [shop.key, 'ada'],
    [shop.key, 'bob'],
    [blog.key, 'ada'],
    [shop.key],
    [blog.key],
  ]
  const uploads = []
  for (const [key, user] of callers) uploads.push(await announceAs(key, user))
  assert.is(new Set(uploads.map(({ owner }) => owner)).size, callers.length)
  for (const [i, [key, user]] of callers.entries()) {
    assert.equal(await idsOf(key, user, api.urls[1]), [uploads[i]?.id])
    for (const [j, { id }] of uploads.entries()) {
      const response = await createHttpClient(api.url).get(`/uploads/${id}`, as(key, user))
      assert.is(response.status, i === j ? 200 : 404)
    }
  }
})

test('an upload tells its user as the id was given, and an id is any text of up to 256 characters', async () => {
  const ids = [
    'auth0|5f7c',
    'a/b/../c?d=e#f%41',
    ' spaces ',
    '..',
    '😀'.repeat(256),
    'Ω'.repeat(256),
    '*',
    'ada@x.y',
  ]
  for (const user of ids) {
    const { id, owner } = await announceAs(shop.key, user)
    assert.is(owner, userOwner('shop', user))
    const upload = bodyOf(
      await createHttpClient(api.url).get(`/uploads/${id}`, as(shop.key, user)),
      UploadView,
    )
    assert.is(upload.user, user)
    const page = await createHttpClient(api.url).get('/uploads', as(shop.key, user))
    assert.equal(
      bodyOf(page, UploadPage).uploads.map((listed) => listed.user),
      [user],
    )
    const users = createTenantUsers(api)
    const recorded = await users.find(owner)
    assert.equal([recorded?.tenant, recorded?.user], ['shop', user])
  }
})

test('an upload of the tenant itself has no user', async () => {
  const client = createHttpClient(api.url)
  const { id } = bodyOf(await client.post('/uploads', file, as(blog.key)), Announced)
  assert.is(bodyOf(await client.get(`/uploads/${id}`, as(blog.key)), UploadView).user, undefined)
})

test('requests that only read record no user', async () => {
  await idsOf(shop.key, 'reader')
  assert.is(await createTenantUsers(api).find(userOwner('shop', 'reader')), undefined)
})

test('an id that is empty, too long or not percent-encoded UTF-8 is refused', async () => {
  const wrong = [
    '',
    ' ',
    'a'.repeat(257),
    encodeURIComponent('😀'.repeat(257)),
    '%',
    '%4',
    '%zz',
    '%ff',
    '%C3',
    'é',
    '%00',
  ]
  for (const value of wrong) {
    const headers = { authorization: `Bearer ${shop.key}`, 'millrace-user': value }
    const response = await createHttpClient(api.url).get('/uploads', { headers })
    assert.is(response.status, 400, JSON.stringify(value))
    assert.is(bodyOf(response, Problem).code, 'invalid_request')
  }
})

test('Millrace-User without the scope act-as is refused, whatever it says', async () => {
  for (const user of ['ada', '']) {
    const response = await createHttpClient(api.url).get('/uploads', as(plain.key, user))
    assert.is(response.status, 403)
    assert.is(bodyOf(response, Problem).code, 'forbidden')
  }
})

test('Millrace-User without a credential is refused', async () => {
  const client = createHttpClient(api.url)
  bodyOf(await client.get('/session'), SessionView)
  const response = await client.get('/uploads', { headers: { 'millrace-user': 'ada' } })
  assert.is(response.status, 401)
  assert.is(bodyOf(response, Problem).code, 'unauthenticated')
})

test('each user has a quota of its own', async () => {
  await announceAs(shop.key, 'carl')
  await announceAs(shop.key, 'carl')
  const third = await createHttpClient(api.url).post('/uploads', file, as(shop.key, 'carl'))
  assert.is(bodyOf(third, Problem).code, 'quota_exceeded')
  await announceAs(shop.key, 'cora')
})

test('each user has a rate limit of its own', async () => {
  await idsOf(shop.key, 'dora')
  await idsOf(shop.key, 'dirk')
  const counted = await api.redis.keys(`${api.prefix}:rate:owner:key-*`)
  for (const user of ['dora', 'dirk']) {
    const end = `:${userOwner('shop', user).slice(-16)}`
    assert.is(counted.filter((key) => key.endsWith(end)).length, 1, user)
  }
})

test.run()
