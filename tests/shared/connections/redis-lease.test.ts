import { randomUUID } from 'node:crypto'
import { createRedisLease } from '@millrace/shared/connections/redis-lease.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('Redis lease')
const ttlMs = 60_000
let redis: Redis
let key: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  key = `test-${randomUUID()}:lease`
})
test.after.each(async () => {
  await redis.del(key)
})
test.after(() => redis.disconnect())

const leaseOf = (holder: string) => createRedisLease({ redis, key, holder, ttlMs })

test('one holder at a time has the lease, and holding it again renews it', async () => {
  const [one, two] = [leaseOf('one'), leaseOf('two')]
  assert.is(await one.holder(), undefined)
  assert.ok(await one.hold())
  assert.not(await two.hold())
  assert.is(await two.holder(), 'one')
  await redis.pexpire(key, 1000)
  assert.ok(await one.hold())
  assert.ok((await redis.pttl(key)) > 1000)
})

test('only its holder renews the lease', async () => {
  const [one, two] = [leaseOf('one'), leaseOf('two')]
  await one.hold()
  await redis.pexpire(key, 1000)
  assert.not(await two.renew())
  assert.ok((await redis.pttl(key)) <= 1000)
  assert.ok(await one.renew())
  assert.ok((await redis.pttl(key)) > 1000)
})

test('renewing does not take a lease that Redis has lost', async () => {
  const lease = leaseOf('one')
  await lease.hold()
  await redis.del(key)
  assert.not(await lease.renew())
  assert.is(await lease.holder(), undefined)
})

test('only its holder releases the lease', async () => {
  const [one, two] = [leaseOf('one'), leaseOf('two')]
  await one.hold()
  await two.release()
  assert.is(await one.holder(), 'one')
  await one.release()
  assert.ok(await two.hold())
})

test('only its holder hands the lease over', async () => {
  const [one, two] = [leaseOf('one'), leaseOf('two')]
  await one.hold()
  await two.handOver('three', 1000)
  assert.is(await one.holder(), 'one')
  await one.handOver('three', 1000)
  assert.is(await one.holder(), 'three')
  assert.ok((await redis.pttl(key)) <= 1000)
  assert.not(await one.hold())
})

test.run()
