import { randomUUID } from 'node:crypto'
import { createAddressQuota } from '@millrace/shared/quotas/address-quota.ts'
import type { AddressQuotaLimits } from '@millrace/shared/quotas/quota-reservations.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { CountedNetwork } from '@millrace/shared/uploads/counted-networks.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('quota of an address')
const hourMs = 60 * 60 * 1000
const home: CountedNetwork[] = [
  { name: 'home-64', share: 1 },
  { name: 'home-48', share: 8 },
]
const neighbour = (n: number): CountedNetwork[] => [
  { name: `neighbour-${n}`, share: 1 },
  { name: 'home-48', share: 8 },
]
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => redis.disconnect())

const create = (limits: AddressQuotaLimits) => createAddressQuota({ redis, prefix, limits })

async function expectRefusal(work: Promise<unknown>) {
  try {
    await work
  } catch (error) {
    if (error instanceof AppError) {
      const isTomorrow = error.code === 'quota_exhausted_today'
      assert.equal(isTomorrow, error.retryAfterSeconds !== undefined)
      return [error.code, error.limit, error.remaining]
    }
    throw error
  }
  throw new Error('It was not refused.')
}

const file = (bytes: number) => ({ bytes, files: 1 })

test('bytes and files of a day are limited', async () => {
  const quota = create({ bytesPerDay: 100, filesPerDay: 2 })
  const now = Date.now()
  assert.equal(await expectRefusal(quota.reserve(home, file(101), now)), ['quota_exceeded', 100, 100])
  await quota.reserve(home, file(60), now)
  assert.equal(await expectRefusal(quota.reserve(home, file(41), now)), ['quota_exhausted_today', 100, 40])
  await quota.reserve(home, file(40), now)
  assert.equal(await expectRefusal(quota.reserve(home, file(0), now)), ['quota_exhausted_today', 2, 0])
})

test('a larger network may use its share of the quota', async () => {
  const quota = create({ filesPerDay: 1 })
  const now = Date.now()
  for (let n = 0; n < 8; n++) await quota.reserve(neighbour(n), file(1), now)
  assert.equal(await expectRefusal(quota.reserve(neighbour(8), file(1), now)), [
    'quota_exhausted_today',
    8,
    0,
  ])
})

test('a refused file counts for none of its networks', async () => {
  const quota = create({ bytesPerDay: 10 })
  const now = Date.now()
  await quota.reserve(home, file(10), now)
  await expectRefusal(quota.reserve(home, file(1), now))
  for (let n = 1; n < 8; n++) await quota.reserve(neighbour(n), file(10), now)
})

test('a cancelled file and a file that becomes smaller leave their bytes', async () => {
  const quota = create({ bytesPerDay: 10, filesPerDay: 2 })
  const now = Date.now()
  await quota.reserve(home, file(10), now)
  await quota.cancel(home, file(10), now)
  await quota.reserve(home, file(10), now)
  await quota.reserve(home, { bytes: -4, files: 0 }, now)
  await quota.reserve(home, file(4), now)
  assert.equal(await expectRefusal(quota.reserve(home, { bytes: 1, files: 0 }, now)), [
    'quota_exhausted_today',
    10,
    0,
  ])
})

test('cancelling does not begin the count of a day that has expired', async () => {
  const quota = create({ bytesPerDay: 10, filesPerDay: 2 })
  await quota.cancel(home, file(10), Date.now())
  assert.equal(await redis.keys(`${prefix}:*`), [])
})

test('a file that becomes smaller is never refused', async () => {
  const now = Date.now()
  await create({ bytesPerDay: 10 }).reserve(home, file(10), now)
  await create({ bytesPerDay: 5 }).reserve(home, { bytes: -1, files: 0 }, now)
  const [day = ''] = await redis.keys(`${prefix}:quota:home-64:*`)
  assert.equal(await redis.hgetall(day), { bytes: '9', files: '1' })
})

test('a file that grows beyond the quota of any day is refused for good', async () => {
  const quota = create({ bytesPerDay: 10 })
  const now = Date.now()
  await quota.reserve(home, file(0), now)
  const grown = quota.reserve(home, { bytes: 11, files: 0 }, now)
  assert.equal(await expectRefusal(grown), ['quota_exceeded', 10, 10])
})

test("the next day's quota is another one, and a day is forgotten soon after its end", async () => {
  const quota = create({ filesPerDay: 1 })
  const now = Date.now()
  await quota.reserve(home, file(1), now)
  await quota.reserve(home, file(1), now - 24 * hourMs)
  const keys = await redis.keys(`${prefix}:*`)
  assert.is(keys.length, 4)
  for (const key of keys) {
    const lifeMs = await redis.pttl(key)
    assert.ok(lifeMs <= 25 * hourMs && lifeMs > 24.9 * hourMs, `${key}: ${lifeMs} ms`)
  }
})

test('without a limit, nothing is counted', async () => {
  const quota = create({})
  await quota.reserve(home, file(1), Date.now())
  await create({ filesPerDay: 0 }).reserve([], file(1), Date.now())
  assert.equal(await redis.keys(`${prefix}:*`), [])
})

test.run()
