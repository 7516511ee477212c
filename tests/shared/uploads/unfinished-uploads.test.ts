import { randomUUID } from 'node:crypto'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { CountedNetwork } from '@millrace/shared/uploads/counted-networks.ts'
import {
  createUnfinishedUploads,
  type UnfinishedLimits,
} from '@millrace/shared/uploads/unfinished-uploads.ts'
import { arrivalGraceMs, type Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('unfinished uploads')
const hourMs = 60 * 60 * 1000
const owner = 'someone'
const home: CountedNetwork[] = [
  { name: 'home-64', share: 1 },
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

/** Announces as an admission does. */
function createAnnouncer(limits: UnfinishedLimits) {
  const unfinished = createUnfinishedUploads({ redis, prefix, limits })
  const records = createUploadRecords({ redis, prefix })
  return {
    unfinished,
    records,
    async announce(
      options: { owner?: string; networks?: CountedNetwork[]; lifeMs?: number; id?: string } = {},
    ): Promise<Upload> {
      const { networks = home, lifeMs = hourMs } = options
      const now = new Date().toISOString()
      const upload: Upload = {
        id: options.id ?? newUploadId(),
        owner: options.owner ?? owner,
        state: 'awaiting',
        intent: { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' },
        findings: {},
        variants: [],
        createdAt: now,
        updatedAt: now,
        expiresAt: new Date(Date.now() + lifeMs).toISOString(),
      }
      await unfinished.add(upload, networks, Date.now() + lifeMs)
      await records.create(upload, { networks })
      return upload
    },
  }
}

async function expectRefusal(work: Promise<unknown>): Promise<AppError> {
  try {
    await work
  } catch (error) {
    if (error instanceof AppError && error.code === 'too_many_unfinished_uploads') return error
    throw error
  }
  throw new Error('It was not refused.')
}

const setNames = ['{someone}:unfinished', 'unfinished:home-64', 'unfinished:home-48']
const counts = () => Promise.all(setNames.map((name) => redis.zcard(`${prefix}:${name}`)))

test("an owner's announced uploads are limited, and the refusal tells when the first one expires", async () => {
  const { announce } = createAnnouncer({ owner: 2, address: 0 })
  await announce({ lifeMs: hourMs })
  await announce({ lifeMs: 2 * hourMs })
  const { limit, remaining, retryAfterSeconds = 0, message } = await expectRefusal(announce())
  assert.equal([limit, remaining], [2, 0])
  assert.match(message, /2 .*one owner/)
  const firstSeconds = (hourMs + arrivalGraceMs) / 1000
  assert.ok(
    retryAfterSeconds <= firstSeconds && retryAfterSeconds > firstSeconds - 60,
    String(retryAfterSeconds),
  )
  await announce({ owner: 'another', networks: [] })
})

test('the announced uploads of one address are limited whatever their owner, and its larger network by its share', async () => {
  const { announce } = createAnnouncer({ owner: 0, address: 1 })
  await announce({ owner: 'first' })
  assert.match((await expectRefusal(announce({ owner: 'second' }))).message, /one address/)
  for (let n = 1; n < 8; n++) {
    await announce({
      owner: `neighbour-${n}`,
      networks: [
        { name: `neighbour-${n}`, share: 1 },
        { name: 'home-48', share: 8 },
      ],
    })
  }
  const site = [
    { name: 'neighbour-9', share: 1 },
    { name: 'home-48', share: 8 },
  ]
  assert.is((await expectRefusal(announce({ networks: site }))).limit, 8)
  await announce({ networks: [{ name: 'elsewhere', share: 1 }] })
})

test('an upload whose record was not stored counts as long as its bytes could have come', async () => {
  const { unfinished } = createAnnouncer({ owner: 10, address: 10 })
  const id = newUploadId()
  const expiresAtMs = Date.now() + hourMs
  await unfinished.add({ owner, id }, home, expiresAtMs)
  for (const name of setNames) {
    assert.is(Number(await redis.zscore(`${prefix}:${name}`, id)), expiresAtMs + arrivalGraceMs)
  }
})

test('a refused upload counts nowhere', async () => {
  const { announce } = createAnnouncer({ owner: 10, address: 1 })
  await announce()
  await expectRefusal(announce())
  assert.equal(await counts(), [1, 1, 1])
})

test('an upload that is announced again counts once, also at the limit', async () => {
  const { announce } = createAnnouncer({ owner: 1, address: 1 })
  const id = newUploadId()
  await announce({ id })
  await announce({ id })
  assert.equal(await counts(), [1, 1, 1])
})

test('an upload does not count any more once its bytes arrived', async () => {
  const { announce, records } = createAnnouncer({ owner: 1, address: 1 })
  const upload = await announce()
  await records.update(upload, (current) => ({
    ...current,
    state: 'received',
    arrival: { etag: 'e', size: 1 },
  }))
  assert.equal(await counts(), [0, 0, 0])
  await announce()
})

test('an upload whose record is forgotten does not count any more', async () => {
  const { announce, records } = createAnnouncer({ owner: 1, address: 1 })
  await records.forget(await announce())
  assert.equal(await counts(), [0, 0, 0])
})

test('an upload whose admission failed before its record was written does not count any more', async () => {
  const { unfinished } = createAnnouncer({ owner: 1, address: 1 })
  const address = { owner, id: newUploadId() }
  await unfinished.add(address, home, Date.now() + hourMs)
  await unfinished.remove(address, home)
  assert.equal(await counts(), [0, 0, 0])
})

test('an upload that ended without bytes counts for an hour or six more, so that its traces in Redis are limited as well', async () => {
  const { announce, records } = createAnnouncer({ owner: 3, address: 100 })
  const week = { lifeMs: 7 * 24 * hourMs }
  const erased = await announce(week)
  await records.erase(erased)
  const rejected = await announce(week)
  await records.update(rejected, ({ expiresAt: _, ...current }) => ({ ...current, state: 'rejected' }))
  await announce(week)
  const { retryAfterSeconds = 0 } = await expectRefusal(announce(week))
  assert.ok(retryAfterSeconds <= hourMs / 1000 && retryAfterSeconds > hourMs / 1000 - 60)
  for (const { id } of [erased, rejected]) {
    const untilMs = Number(await redis.zscore(`${prefix}:unfinished:home-64`, id))
    assert.ok(Math.abs(untilMs - Date.now() - 6 * hourMs) < 60_000, String(untilMs))
  }
})

test('an erased upload never counts for longer than it would have', async () => {
  const { announce, records } = createAnnouncer({ owner: 1, address: 0 })
  const upload = await announce({ lifeMs: -arrivalGraceMs / 2 })
  await records.erase(upload)
  const { retryAfterSeconds = 0 } = await expectRefusal(announce())
  assert.ok(retryAfterSeconds <= arrivalGraceMs / 2 / 1000, String(retryAfterSeconds))
})

test('an expired upload does not count, and a renewed one counts until its new expiry', async () => {
  const { announce, records, unfinished } = createAnnouncer({ owner: 2, address: 0 })
  const renewed = await announce()
  await unfinished.add({ owner, id: newUploadId() }, home, Date.now() - arrivalGraceMs - 1)
  const expiresAt = new Date(Date.now() + 5 * hourMs).toISOString()
  await records.update(renewed, (current) => ({ ...current, expiresAt }))
  await announce({ lifeMs: 6 * hourMs })
  const { retryAfterSeconds = 0 } = await expectRefusal(announce())
  assert.ok(retryAfterSeconds > (5 * hourMs) / 1000)
})

test('what counts uploads expires with the last of them', async () => {
  const { announce } = createAnnouncer({ owner: 10, address: 10 })
  await announce({ lifeMs: 2 * hourMs })
  await announce()
  for (const name of setNames) {
    const lifeMs = await redis.pttl(`${prefix}:${name}`)
    const expectedMs = 2 * hourMs + arrivalGraceMs
    assert.ok(lifeMs <= expectedMs && lifeMs > expectedMs - 60_000, `${name}: ${lifeMs} ms`)
  }
})

test('networks of an upload are known until its bytes arrive, and are no part of its record', async () => {
  const { announce, records } = createAnnouncer({ owner: 0, address: 1 })
  const upload = await announce()
  assert.equal(await records.networksOf(upload), home)
  assert.equal((await records.find(upload))?.upload, upload)
  await records.update(upload, (current) => ({
    ...current,
    state: 'received',
    arrival: { etag: 'e', size: 1 },
  }))
  assert.equal(await records.networksOf(upload), [])
})

test('without limits, nothing is counted', async () => {
  const { announce } = createAnnouncer({ owner: 0, address: 0 })
  await announce()
  assert.equal(await counts(), [0, 0, 0])
})

test.run()
