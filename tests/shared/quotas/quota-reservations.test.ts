import { randomUUID } from 'node:crypto'
import { createQuotaReservations } from '@millrace/shared/quotas/quota-reservations.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('life of quota reservations')
const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs
/** More than any step of a test takes. */
const toleranceMs = 60_000
const owner = 'someone'
const limits = { filesTotal: 10 }
/** What is counted of an owner as long as it is known to agree with S3. */
const countKeys = ['quota', 'quota:held', 'quota:open']
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => redis.disconnect())

const create = () => createQuotaReservations({ redis, prefix })
const lifeOf = (name: string) => redis.pttl(`${prefix}:{${owner}}:${name}`)
const newUpload = () => ({ owner, id: newUploadId() })

test('what is counted of an owner without files expires soon after its announced uploads', async () => {
  const reservations = create()
  await reservations.adopt(owner, [], Date.now())
  await reservations.reserve(newUpload(), 7, Date.now() + 2 * hourMs, limits)
  const keys = await redis.keys(`${prefix}:*`)
  assert.is(keys.length, 5)
  for (const key of keys) {
    // The count of a day lasts until its end, and what is known of an owner without files for an hour.
    const isOfDay = /\d{4}-\d\d-\d\d$/.test(key)
    const hours = isOfDay ? 25 : key.endsWith(':whole') ? 1 : 3
    const lifeMs = await redis.pttl(key)
    assert.ok(lifeMs <= hours * hourMs && lifeMs > hours * hourMs - toleranceMs, `${key}: ${lifeMs} ms`)
  }
})

test('counts live for as long as they are known to agree with S3, and as long as any announced upload', async () => {
  const reservations = create()
  await reservations.reserve(newUpload(), 7, Date.now() + hourMs, limits)
  await reservations.adopt(owner, [{ id: newUploadId(), bytes: 7 }], Date.now())
  for (const reserveUntilMs of [hourMs, 7 * dayMs, hourMs]) {
    await reservations.reserve(newUpload(), 7, Date.now() + reserveUntilMs, limits)
    const wholeMs = await lifeOf('quota:whole')
    assert.ok(wholeMs <= dayMs && wholeMs > dayMs - toleranceMs, String(wholeMs))
    for (const name of countKeys) {
      const lifeMs = await lifeOf(name)
      assert.ok(lifeMs > wholeMs && lifeMs >= reserveUntilMs, `${name}: ${lifeMs} ms`)
      assert.ok(lifeMs <= 7 * dayMs + hourMs, `${name}: ${lifeMs} ms`)
    }
  }
  const longestMs = await lifeOf('quota')
  assert.ok(longestMs > 7 * dayMs && longestMs <= 7 * dayMs + hourMs, `${longestMs} ms`)
})

test('the counts of an owner without files live longer than the note that they agree with S3', async () => {
  const reservations = create()
  await reservations.adopt(owner, [], Date.now())
  await reservations.reserve(newUpload(), 7, Date.now(), limits)
  for (const name of countKeys) await redis.pexpire(`${prefix}:{${owner}}:${name}`, 1_000)
  await reservations.adopt(owner, [], Date.now())
  const wholeMs = await lifeOf('quota:whole')
  for (const name of countKeys) assert.ok((await lifeOf(name)) > wholeMs, name)
})

test('a renewed reservation keeps the counts', async () => {
  const reservations = create()
  await reservations.adopt(owner, [], Date.now())
  const upload = newUpload()
  await reservations.reserve(upload, 7, Date.now() + hourMs, limits)
  await reservations.extend(upload, Date.now() + 5 * hourMs)
  for (const name of countKeys) {
    const lifeMs = await lifeOf(name)
    assert.ok(lifeMs <= 6 * hourMs && lifeMs > 6 * hourMs - toleranceMs, `${name}: ${lifeMs} ms`)
  }
})

test.run()
