import { ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { ErasureView, UserPage } from '@millrace/api/tenants/user-routes.ts'
import { Announced, UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import {
  manifestKey,
  parseOriginalKey,
  usersPrefix,
  variantKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { userOwner, userOwnerPrefix } from '@millrace/shared/uploads/owner.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { formOf, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('users of a tenant')
const MiB = 1024 ** 2
const shop = newApiKey('shop', ['uploads:read', 'uploads:write', 'act-as', 'tenant'])
const blog = newApiKey('blog', ['uploads:read', 'uploads:write', 'act-as', 'tenant'])
const plain = newApiKey('shop', ['uploads:read', 'uploads:write', 'act-as'])
let api: ApiInstances

test.before(async () => {
  const entries = [shop, blog, plain].map(({ entry }) => entry).join(',')
  api = await startApiInstances({ count: 2, environment: { API_KEYS: entries } })
})
test.after(() => api.close())

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })
const as = (key: string, user: string) => ({
  headers: { ...bearer(key), 'millrace-user': encodeURIComponent(user) },
})

/** Announces a file for a user, and sends it if it is small. */
async function send(key: string, user: string, size = 7, base = api.url) {
  const file = { filename: 'a.txt', contentType: 'text/plain', size }
  const announced = bodyOf(await createHttpClient(base).post('/uploads', file, as(key, user)), Announced)
  if (announced.transport.kind !== 'form') return announced.id
  const form = formOf(announced)
  await sendForm(form, new Uint8Array(size))
  const address = parseOriginalKey(form.fields['key'] ?? '')
  if (!address) throw new Error('The form has no key of an original.')
  for (const Key of [
    variantKey(address, { version: 'default', name: 'w320', sha256: 'ab12', extension: 'webp' }),
    manifestKey(address),
  ]) {
    await api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key, Body: '{}' }))
  }
  return announced.id
}

async function announceOwn(key: string): Promise<string> {
  const file = { filename: 'a.txt', contentType: 'text/plain', size: 7 }
  const response = await createHttpClient(api.url).post('/uploads', file, { headers: bearer(key) })
  return bodyOf(response, Announced).id
}

async function usersOf(key: string, limit = 200): Promise<string[]> {
  const users: string[] = []
  for (let cursor = ''; ; ) {
    const query = `limit=${limit}${cursor && `&cursor=${cursor}`}`
    const response = await createHttpClient(api.url).get(`/users?${query}`, { headers: bearer(key) })
    const page = bodyOf(response, UserPage)
    users.push(...page.users.map(({ user }) => user))
    if (!page.nextCursor) return users.toSorted()
    cursor = page.nextCursor
  }
}

const erase = (key: string, user: string, base = api.url) =>
  createHttpClient(base).request('DELETE', `/users?user=${encodeURIComponent(user)}`, {
    headers: bearer(key),
  })

/** Lists all versions of an owner's objects, except erasure markers and receipts. */
async function remaining(owner: string): Promise<string[]> {
  const { Versions = [], DeleteMarkers = [] } = await api.s3.send(
    new ListObjectVersionsCommand({ Bucket: api.bucket }),
  )
  return [...Versions, ...DeleteMarkers]
    .map(({ Key = '' }) => Key)
    .filter((key) => key.includes(owner) && !/^(erasures|receipts|erasing)\//.test(key))
}

test('GET /users lists the users of the tenant as their ids were given, page by page', async () => {
  const ids = ['ada', 'b/c d', '😀', '..']
  for (const user of [...ids, 'ada']) await send(shop.key, user)
  await send(blog.key, 'ada')
  await send(blog.key, 'eve')
  assert.equal(await usersOf(shop.key), ids.toSorted())
  assert.equal(await usersOf(shop.key, 1), ids.toSorted())
  assert.equal(await usersOf(blog.key), ['ada', 'eve'])
})

test('erasing a user erases its uploads, its entry and nothing else', async () => {
  await send(shop.key, 'carl')
  await send(shop.key, 'carl')
  const large = await send(shop.key, 'carl', 20 * MiB)
  await send(shop.key, 'carla')
  await send(blog.key, 'carl')
  const owner = userOwner('shop', 'carl')
  const kept = [userOwner('shop', 'carla'), userOwner('blog', 'carl')]
  const before = await Promise.all(kept.map(remaining))
  const response = await erase(shop.key, 'carl')
  assert.is(response.status, 200, JSON.stringify(response.body))
  const receipt = bodyOf(response, ErasureView)
  // The one in parts has an announcement and an open multipart upload.
  assert.equal([receipt.state, receipt.uploads, receipt.versions], ['finished', 3, 7])
  assert.not.match(JSON.stringify(receipt), /carl/)
  assert.equal(await remaining(owner), [])
  assert.equal(await Promise.all(kept.map(remaining)), before)
  assert.not.ok((await usersOf(shop.key)).includes('carl'))
  const read = await createHttpClient(api.urls[1] ?? '').get(`/uploads/${large}`, as(shop.key, 'carl'))
  assert.is(read.status, 404)
  const path = response.headers.get('location') ?? ''
  const stored = await createHttpClient(api.urls[1] ?? '').get(path, { headers: bearer(shop.key) })
  assert.equal(stored.body, receipt)
  assert.equal((await erase(shop.key, 'carl')).body, receipt)
  const foreign = await createHttpClient(api.url).get(path, { headers: bearer(blog.key) })
  assert.is(foreign.status, 404)
  assert.is(bodyOf(foreign, Problem).code, 'erasure_not_found')
})

test('an erased user that uploads again through another instance is recorded again', async () => {
  for (const base of api.urls) await send(shop.key, 'dora', 7, base)
  assert.is((await erase(shop.key, 'dora')).status, 200)
  // The instance that did not erase the user knew it.
  await send(shop.key, 'dora', 7, api.urls[1])
  assert.ok((await usersOf(shop.key)).includes('dora'))
  assert.is(bodyOf(await erase(shop.key, 'dora'), ErasureView).uploads, 1)
})

test('an unknown user cannot be erased, nor one of another tenant', async () => {
  await send(blog.key, 'frida')
  for (const user of ['frida', 'nobody', 'blog', 'shop', userOwner('blog', 'frida')]) {
    const response = await erase(shop.key, user)
    assert.is(response.status, 404)
    assert.is(bodyOf(response, Problem).code, 'user_not_found')
  }
  assert.ok((await usersOf(blog.key)).includes('frida'))
})

test('a page of users does not end at objects that are none', async () => {
  for (const user of ['gina', 'hugo']) await send(shop.key, user)
  const prefix = `${usersPrefix}${userOwnerPrefix('shop')}`
  for (const name of ['', '!note.txt']) {
    await api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key: `${prefix}${name}`, Body: '{}' }))
  }
  const all = await usersOf(shop.key)
  assert.ok(all.includes('gina') && all.includes('hugo'))
  assert.equal(await usersOf(shop.key, 1), all)
})

test('bad ids of users and erasures are refused', async () => {
  const client = createHttpClient(api.url)
  for (const query of ['', '?user=', `?user=${'a'.repeat(257)}`, '?user=%00', '?user=a&user=b']) {
    const response = await client.request('DELETE', `/users${query}`, { headers: bearer(shop.key) })
    assert.is(response.status, 400, query)
  }
  assert.is((await client.get('/users?cursor=x', { headers: bearer(shop.key) })).status, 400)
  for (const id of ['x', `${'0'.repeat(32)}-x`, '..%2f..', '%00']) {
    const response = await client.get(`/erasures/${id}`, { headers: bearer(shop.key) })
    assert.is(response.status, 404, id)
  }
})

test('a key without the scope tenant cannot administer users, nor can anonymous requests', async () => {
  const client = createHttpClient(api.url)
  for (const [method, path] of [
    ['GET', '/users'],
    ['DELETE', '/users?user=ada'],
    ['GET', `/erasures/${'0'.repeat(32)}-x`],
  ] as const) {
    const response = await client.request(method, path, { headers: bearer(plain.key) })
    assert.is(bodyOf(response, Problem).code, 'forbidden')
    assert.is(bodyOf(await client.request(method, path), Problem).code, 'unauthenticated')
  }
})

test("the tenant's administrator lists the uploads of the user that it names, and of no other tenant's", async () => {
  const own = await announceOwn(shop.key)
  const first = await send(shop.key, 'a/ü 😀')
  const second = await send(shop.key, 'a/ü 😀')
  await send(shop.key, 'bob')
  const foreign = await send(blog.key, 'a/ü 😀')
  const list = async (key: string, query: string) => {
    const response = await createHttpClient(api.url).get(`/uploads${query}`, { headers: bearer(key) })
    return bodyOf(response, UploadPage).uploads.map(({ id, user }) => [id, user])
  }
  const query = `?user=${encodeURIComponent('a/ü 😀')}`
  assert.equal(await list(shop.key, query), [
    [second, 'a/ü 😀'],
    [first, 'a/ü 😀'],
  ])
  assert.equal(await list(shop.key, `${query}&limit=1&cursor=${second}`), [[first, 'a/ü 😀']])
  assert.equal(await list(blog.key, query), [[foreign, 'a/ü 😀']])
  assert.equal(await list(shop.key, '?user=nobody'), [])
  assert.equal(await list(shop.key, ''), [[own, undefined]])
})

test('without the scope tenant, only the own user can be named', async () => {
  await send(plain.key, 'eve')
  const client = createHttpClient(api.url)
  const own = await client.get('/uploads?user=eve', as(plain.key, 'eve'))
  assert.is(bodyOf(own, UploadPage).uploads.length, 1)
  for (const user of [undefined, 'adam']) {
    const response = await client.get(
      '/uploads?user=eve',
      user === undefined ? { headers: bearer(plain.key) } : as(plain.key, user),
    )
    assert.is(bodyOf(response, Problem).code, 'forbidden')
  }
  const anonymous = await client.get('/uploads?user=eve')
  assert.is(bodyOf(anonymous, Problem).code, 'unauthenticated')
  for (const query of ['user=', `user=${'a'.repeat(257)}`, 'user=%00']) {
    assert.is((await client.get(`/uploads?${query}`, { headers: bearer(shop.key) })).status, 400, query)
  }
})

test.run()
