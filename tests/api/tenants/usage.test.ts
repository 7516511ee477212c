import { PutObjectCommand } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { createCountUsage } from '@millrace/api/tenants/count-usage.ts'
import { UsageView } from '@millrace/api/tenants/usage-routes.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createTenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { smallestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('usage of a tenant')
const names = ['shop', 'blog', 'team', 'empty'] as const
const keys = Object.fromEntries(names.map((name) => [name, newApiKey(name, ['tenant'])]))
const plain = newApiKey('shop', ['uploads:read', 'act-as'])
const dayMs = 24 * 60 * 60 * 1000
const today = new Date().toISOString().slice(0, 10)
const yesterday = new Date(Date.now() - dayMs).toISOString().slice(0, 10)
let api: ApiInstances
let stored = 0

test.before(async () => {
  const entries = [...Object.values(keys), plain].map(({ entry }) => entry).join(',')
  api = await startApiInstances({ count: 2, environment: { API_KEYS: entries, QUOTA_FILES_TOTAL: '1000' } })
})
test.after(() => api.close())

/** Stores a file of a user, or of the tenant itself, announced at noon of a day. */
async function store(tenant: string, user: string | undefined, day: string, bytes: number): Promise<void> {
  const owner = user === undefined ? tenant : await createTenantUsers(api).record(tenant, user)
  stored += 1
  const id = smallestUploadId(Date.parse(`${day}T12:00:00Z`) + stored)
  const Key = originalKey({ owner, id })
  await api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key, Body: 'x'.repeat(bytes) }))
}

async function usageOf(tenant: string, query = '', base = api.url) {
  const headers = { authorization: `Bearer ${keys[tenant]?.key}` }
  return bodyOf(await createHttpClient(base).get(`/usage${query}`, { headers }), UsageView)
}

test('usage counts files and bytes by user, by day and in all, of one tenant only', async () => {
  await store('shop', 'ada', yesterday, 10)
  await store('shop', 'ada', today, 20)
  await store('shop', 'ada', today, 30)
  await store('shop', 'bob/😀', today, 5)
  await store('shop', undefined, today, 1)
  await store('blog', 'ada', today, 1000)
  const { asOf, users, ...all } = await usageOf('shop')
  assert.ok(Date.parse(asOf) <= Date.now())
  assert.equal(all, {
    files: 5,
    bytes: 66,
    days: [
      { day: yesterday, files: 1, bytes: 10 },
      { day: today, files: 4, bytes: 56 },
    ],
    quota: { filesTotal: 1000 },
  })
  const ada = {
    user: 'ada',
    files: 3,
    bytes: 60,
    days: [
      { day: yesterday, files: 1, bytes: 10 },
      { day: today, files: 2, bytes: 50 },
    ],
  }
  assert.equal(
    users.toSorted((a, b) => b.bytes - a.bytes),
    [
      ada,
      { user: 'bob/😀', files: 1, bytes: 5, days: [{ day: today, files: 1, bytes: 5 }] },
      { files: 1, bytes: 1, days: [{ day: today, files: 1, bytes: 1 }] },
    ],
  )
  const one = await usageOf('shop', '?user=ada', api.urls[1])
  assert.equal([one.users, one.files, one.asOf], [[ada], 5, asOf])
  const none = await usageOf('shop', '?user=nobody')
  assert.equal(none.users, [{ user: 'nobody', files: 0, bytes: 0, days: [] }])
})

test('a tenant without files uses nothing', async () => {
  const { asOf: _, ...usage } = await usageOf('empty')
  assert.equal(usage, { files: 0, bytes: 0, days: [], quota: { filesTotal: 1000 }, users: [] })
})

test('many users are listed page by page', async () => {
  const ids = Array.from({ length: 105 }, (_, n) => `user-${n}`)
  await Promise.all(ids.map((user) => store('team', user, today, 2)))
  const listed: (string | undefined)[] = []
  let pages = 0
  for (let query = ''; ; pages++) {
    const { users, files, bytes, nextCursor } = await usageOf('team', query)
    assert.equal([files, bytes], [105, 210])
    listed.push(...users.map(({ user }) => user))
    if (!nextCursor) break
    query = `?cursor=${nextCursor}`
  }
  assert.equal(listed.toSorted(), ids.toSorted())
  assert.is(pages, 1)
  assert.equal((await usageOf('team', '?user=user-77')).users.length, 1)
})

test('a count is shared by all instances, and is repeated when it is too old for its cost', async () => {
  const before = await usageOf('shop')
  await store('shop', 'ada', today, 40)
  assert.equal(await usageOf('shop', '', api.urls[1]), before)
  const { redis, prefix, s3, bucket } = api
  const closing = new AbortController().signal
  const count = createCountUsage({ redis, prefix, s3, bucket, closing, minAgeMs: 0, ageFactor: 0 })
  await count('shop')
  const after = await usageOf('shop', '', api.urls[1])
  assert.equal([after.files, after.bytes], [before.files + 1, before.bytes + 40])
  assert.ok(after.asOf > before.asOf)
})

test('usage is for the administrator of the tenant', async () => {
  const client = createHttpClient(api.url)
  const response = await client.get('/usage', { headers: { authorization: `Bearer ${plain.key}` } })
  assert.is(bodyOf(response, Problem).code, 'forbidden')
  assert.is(bodyOf(await client.get('/usage'), Problem).code, 'unauthenticated')
  const headers = { authorization: `Bearer ${keys['shop']?.key}` }
  for (const query of ['cursor=x', 'user=']) {
    assert.is((await client.get(`/usage?${query}`, { headers })).status, 400, query)
  }
})

test.run()
