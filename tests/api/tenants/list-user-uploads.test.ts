import { Problem } from '@millrace/api/http/problem.ts'
import { newApiKey } from '@millrace/api/identity/api-keys.ts'
import { Announced, UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite("listing a user's uploads")
const shop = newApiKey('shop', ['uploads:read', 'uploads:write', 'act-as', 'tenant'])
const plain = newApiKey('shop', ['uploads:read', 'uploads:write', 'act-as'])
const blog = newApiKey('blog', ['uploads:read', 'uploads:write', 'act-as', 'admin'])
const file = { filename: 'a.txt', contentType: 'text/plain', size: 7 }
let api: ApiInstances

test.before(async () => {
  const entries = [shop, plain, blog].map(({ entry }) => entry).join(',')
  api = await startApiInstances({ environment: { API_KEYS: entries } })
})
test.after(() => api.close())

const as = (key: string, user?: string) => ({
  headers: {
    authorization: `Bearer ${key}`,
    ...(user !== undefined && { 'millrace-user': encodeURIComponent(user) }),
  },
})

const announceAs = async (key: string, user?: string) =>
  bodyOf(await createHttpClient(api.url).post('/uploads', file, as(key, user)), Announced).id

test("the tenant's administrator lists the uploads of the user that it names, and of no other tenant's", async () => {
  const own = await announceAs(shop.key)
  const first = await announceAs(shop.key, 'a/ü 😀')
  const second = await announceAs(shop.key, 'a/ü 😀')
  await announceAs(shop.key, 'bob')
  const foreign = await announceAs(blog.key, 'a/ü 😀')
  const list = async (key: string, query: string) => {
    const response = await createHttpClient(api.url).get(`/uploads${query}`, as(key))
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
  await announceAs(plain.key, 'eve')
  const client = createHttpClient(api.url)
  const own = await client.get('/uploads?user=eve', as(plain.key, 'eve'))
  assert.is(bodyOf(own, UploadPage).uploads.length, 1)
  for (const user of [undefined, 'adam']) {
    const response = await client.get('/uploads?user=eve', as(plain.key, user))
    assert.is(bodyOf(response, Problem).code, 'forbidden')
  }
  const anonymous = await client.get('/uploads?user=eve')
  assert.is(bodyOf(anonymous, Problem).code, 'unauthenticated')
  for (const query of ['user=', `user=${'a'.repeat(257)}`, 'user=%00']) {
    assert.is((await client.get(`/uploads?${query}`, as(shop.key))).status, 400, query)
  }
})

test.run()
