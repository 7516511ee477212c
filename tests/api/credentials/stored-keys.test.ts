import { randomUUID } from 'node:crypto'
import { setImmediate } from 'node:timers/promises'
import { S3Client } from '@aws-sdk/client-s3'
import type { Caller } from '@millrace/api/credentials/caller.ts'
import { createKeyUses } from '@millrace/api/credentials/key-uses.ts'
import { createStoredKeys, type StoredKeys } from '@millrace/api/credentials/stored-keys.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { apiKeyKey } from '@millrace/shared/ledger/object-keys.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { generateKey } from '@millrace/shared/tenants/generate-key.ts'
import { createKeyStore, isExpired } from '@millrace/shared/tenants/key-store.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import * as assert from 'uvu/assert'
import { openContractTarget } from '../../local-s3/support/contract-target.ts'
import { openSubscriber } from '../../support/open-subscriber.ts'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'

const test = suite('stored API keys')
const target = await openContractTarget()
const { bucket } = target
const hourMs = 60 * 60 * 1000
const log = createLog({ level: 'silent', instance: 'test' })
const redisUrl = process.env['REDIS_URL'] ?? ''
const redis = connectRedis(redisUrl, log)
const closers: (() => void)[] = []
const fields = { tenant: 'acme', scopes: ['uploads:read'], description: '', createdBy: 'test' }
const isListing = ({ path }: SeenRequest) => path.includes('list-type=2')
const isReading = ({ method, path }: SeenRequest) => method === 'GET' && path.includes('.json')
let proxy: S3Proxy
let s3: S3Client
let prefix: string

test.before(async () => {
  const endpoint = await target.client.config.endpoint?.()
  if (!endpoint) throw new Error('The contract target has no endpoint.')
  const { protocol, hostname, port } = endpoint
  proxy = await startS3Proxy(`${protocol}//${hostname}:${port}`)
  const { region, credentials } = target.client.config
  s3 = new S3Client({ endpoint: proxy.endpoint, region, credentials, forcePathStyle: true, maxAttempts: 1 })
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
  proxy.intercept(() => 'pass')
})
test.after.each(() => {
  for (const close of closers.splice(0)) close()
})
test.after(async () => {
  redis.disconnect()
  s3.destroy()
  await proxy.close()
  await target.close()
})

const direct = createKeyStore({ s3: target.client, bucket })

/** Starts what one API instance knows of the keys. By default it lists once, and again for each message. */
async function startInstance(options: { periodMs?: number; subscribes?: boolean } = {}): Promise<StoredKeys> {
  const { periodMs = hourMs, subscribes = true } = options
  const subscriber = openSubscriber(redisUrl)
  const keys = createStoredKeys({
    store: createKeyStore({ s3, bucket }),
    uses: createKeyUses({ redis, prefix }),
    redis,
    subscriber,
    prefix: subscribes ? prefix : `${prefix}-other`,
    log,
    periodMs,
  })
  keys.start()
  closers.push(keys.stop, () => subscriber.disconnect())
  await subscriber.confirmAll()
  return keys
}

async function findUntil(keys: StoredKeys, key: string): Promise<Caller> {
  for (;;) {
    const caller = await keys.find(key)
    if (caller) return caller
    await setImmediate()
  }
}

const whenEnded = (keys: StoredKeys) => new Promise<void>((resolve) => keys.onEnded(resolve))

async function assertUnavailable(keys: StoredKeys, key: string): Promise<void> {
  try {
    await keys.find(key)
  } catch (error) {
    assert.ok(error instanceof AppError, String(error))
    assert.is(error.code, 'dependency_unavailable')
    return
  }
  assert.unreachable('The key was found, or is unknown.')
}

test('instances hear of created and revoked keys from each other, without waiting for the next listing', async () => {
  const [one, other] = [await startInstance(), await startInstance()]
  const { key, stored } = await one.create(fields)
  const caller = await findUntil(other, key)
  assert.equal([caller.tenant, caller.owner, [...caller.scopes]], ['acme', 'acme', ['uploads:read']])
  assert.is(await caller.hasEnded(), false)

  assert.is(await other.findById(stored.id), caller)

  const ended = whenEnded(other)
  assert.ok(await one.revoke('acme', stored.id))
  assert.is(await one.find(key), undefined)
  await ended
  assert.is(await other.find(key), undefined)
  assert.is(await other.findById(stored.id), undefined)
  assert.ok(await caller.hasEnded())
})

test('without any message, keys are known and revoked with the next listing, and other listings end nothing', async () => {
  const keys = await startInstance({ periodMs: 20, subscribes: false })
  let ends = 0
  keys.onEnded(() => {
    ends += 1
  })
  const { key, stored } = await direct.create(fields)
  const caller = await findUntil(keys, key)
  await findUntil(keys, (await direct.create(fields)).key)
  assert.is(ends, 0)
  const ended = whenEnded(keys)
  await direct.remove('acme', stored.id)
  await ended
  assert.is(await keys.find(key), undefined)
  assert.ok(await caller.hasEnded())
})

test('a listing that began before a key was created does not forget it', async () => {
  const { key: first } = await direct.create(fields)
  const keys = await startInstance()
  await findUntil(keys, first)
  const held = proxy.holdResponse(isListing)
  await redis.publish(`${prefix}:api-keys`, '')
  await held.arrived
  const { key } = await keys.create(fields)
  const next = proxy.hold(isListing)
  held.release()
  await next.arrived
  assert.ok(await keys.find(key))
  next.release()
})

test('a key that is revoked while it is read does not become known', async () => {
  const { key: first } = await direct.create(fields)
  const keys = await startInstance()
  await findUntil(keys, first)
  const { key, stored } = await direct.create(fields)
  const held = proxy.holdResponse(isReading)
  await redis.publish(`${prefix}:api-keys`, '')
  await held.arrived
  assert.ok(await keys.revoke('acme', stored.id))
  const next = proxy.hold(isListing)
  held.release()
  await next.arrived
  assert.is(await keys.find(key), undefined)
  next.release()
})

test('while S3 does not answer at start, keys that may exist are not refused but get dependency_unavailable', async () => {
  const { key } = await direct.create(fields)
  for (const fault of ['fail', 'reset', 'deny'] as const) {
    proxy.intercept(() => fault)
    const keys = await startInstance()
    await assertUnavailable(keys, key)
    assert.is(await keys.find('an.other.token'), undefined)
    proxy.intercept((seen) => (isReading(seen) ? fault : 'pass'))
    await assertUnavailable(keys, key)
    proxy.intercept(() => 'pass')
    assert.ok(await keys.find(key))
    assert.is(await keys.find(generateKey()), undefined)
  }
})

test('a key with an end is valid before it, and one without an end always', () => {
  const expiresAt = '2026-11-28T12:00:00.000Z'
  const endMs = Date.parse(expiresAt)
  assert.equal(
    [endMs - 1, endMs].map((nowMs) => isExpired({ expiresAt }, nowMs)),
    [false, true],
  )
  assert.not.ok(isExpired({}, Number.MAX_SAFE_INTEGER))
})

test('an object that is not named as a key is none: it is neither listed nor read, nor removed', async () => {
  const tenant = 'other-objects'
  const { stored, objectKey } = await direct.create({ ...fields, tenant })
  const folder = `keys/${tenantKey(tenant)}/`
  // The console of S3 makes such objects for folders.
  const foreign = ['keys/', folder, `${folder}zz.json`, `${folder}${stored.id}.txt`]
  for (const Key of foreign) await target.client.putObject({ Bucket: bucket, Key, Body: '{}' })
  const requests: string[] = []
  proxy.intercept(({ method, path }) => {
    if (method !== 'GET' || !path.includes('list-type=2')) requests.push(`${method} ${path}`)
    return 'pass'
  })
  const store = createKeyStore({ s3, bucket })
  assert.equal(await store.list(tenant, { limit: 10 }), { keys: [stored] })
  assert.equal(requests.splice(0), [`GET /${bucket}/${objectKey}?x-id=GetObject`])
  const second = await direct.create({ ...fields, tenant })
  proxy.intercept(() => 'pass')
  assert.equal(await store.list(tenant, { limit: 1 }), { keys: [stored], nextCursor: stored.id })
  const rest = await store.list(tenant, { after: stored.id, limit: 1 })
  assert.equal(
    rest.keys.map(({ id }) => id),
    [second.stored.id],
  )
  const listed = [...(await store.listObjects(AbortSignal.timeout(10_000))).keys()]
  assert.ok(listed.includes(objectKey))
  for (const Key of foreign) assert.not.ok(listed.includes(Key), Key)
  for (const id of ['zz', `../${tenantKey(tenant)}/${stored.id}`]) {
    assert.not(await store.remove(tenant, id))
    assert.equal(requests, [], id)
  }
  for (const Key of foreign) await target.client.deleteObject({ Bucket: bucket, Key })
})

test('an expired key is refused, by itself and by its id', async () => {
  const { key, stored } = await direct.create({ ...fields, expiresAtMs: Date.now() - 1 })
  const keys = await startInstance()
  try {
    await keys.find(key)
    assert.unreachable('The key was found, or is unknown.')
  } catch (error) {
    assert.ok(error instanceof AppError, String(error))
    assert.equal([error.code, error.message], ['unauthenticated', 'The API key has expired.'])
  }
  assert.is(await keys.findById(stored.id), undefined)
})

test('known keys stay valid while S3 does not answer', async () => {
  const keys = await startInstance({ periodMs: 10, subscribes: false })
  const { key } = await direct.create(fields)
  await findUntil(keys, key)
  let failed = 0
  const enough = Promise.withResolvers<void>()
  proxy.intercept(() => {
    failed += 1
    if (failed === 3) enough.resolve()
    return 'fail'
  })
  await enough.promise
  assert.ok(await keys.find(key))
})

test('a key of another version is left out and read once, and others are known', async () => {
  const id = `key-${'0'.repeat(32)}`
  const Key = apiKeyKey(tenantKey('acme'), id)
  await target.client.putObject({ Bucket: bucket, Key, Body: '{"version":2}' })
  let reads = 0
  proxy.intercept(({ method, path }) => {
    if (method === 'GET' && path.includes(id)) reads += 1
    return 'pass'
  })
  const keys = await startInstance({ periodMs: 10, subscribes: false })
  for (let round = 0; round < 2; round++) {
    const { key } = await direct.create({ ...fields, scopes: ['uploads:read', 'scope-of-tomorrow'] })
    const caller = await findUntil(keys, key)
    assert.equal([...caller.scopes], ['uploads:read'])
  }
  assert.is(reads, 1)
  assert.ok(await direct.remove('acme', id))
})

test('the use of a key is written once an hour', async () => {
  let nowMs = Date.parse('2026-11-27T15:59:59.000Z')
  const uses = createKeyUses({ redis, prefix, now: () => nowMs })
  const key = `${prefix}:key-used:key-1`
  uses.note('key-1')
  assert.is((await uses.find(['key-1']))?.get('key-1'), '2026-11-27T15:00:00.000Z')
  await redis.set(key, 'unchanged')
  uses.note('key-1')
  assert.is((await uses.find(['key-1', 'key-2']))?.get('key-1'), 'unchanged')
  nowMs += 1_000
  uses.note('key-1')
  const found = await uses.find(['key-1', 'key-2'])
  assert.equal([found?.get('key-1'), found?.get('key-2')], ['2026-11-27T16:00:00.000Z', null])
  const dayS = 24 * 60 * 60
  const leftS = await redis.ttl(key)
  assert.ok(leftS > 89 * dayS && leftS <= 90 * dayS, `${leftS} s`)
})

test.run()
