import { randomUUID } from 'node:crypto'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('upload index')
const redisUrl = process.env['REDIS_URL'] ?? ''
const owner = 'someone'
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(redisUrl)
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => redis.disconnect())

const newestFirst = (count: number) => Array.from({ length: count }, () => newUploadId()).reverse()

function createIndex() {
  const index = createUploadIndex({ redis, prefix, maxIds: 8 })
  return { ...index, all: () => index.page(owner, { before: undefined, limit: 100 }) }
}

test('an index that is too large keeps the newest ids, and is known to be complete from the oldest of them on', async () => {
  const index = createIndex()
  const ids = newestFirst(11)
  await index.extend(owner, ids, { epoch: 5, from: '' }, undefined)
  // This page was read before the index is trimmed.
  assert.equal((await index.all()).ids, ids)
  const { ids: kept, known } = await index.all()
  assert.equal(kept, ids.slice(0, 8))
  assert.equal(known, { epoch: 5, from: ids[7] })
})

test('an index that lost only ids before its known start is known to be complete as before', async () => {
  const index = createIndex()
  const ids = newestFirst(11)
  await index.extend(owner, ids, { epoch: 5, from: ids[5] ?? '' }, undefined)
  await index.all()
  assert.equal(await index.all(), { ids: ids.slice(0, 8), known: { epoch: 5, from: ids[5] } })
})

test('an index is only extended from where it is known to be complete', async () => {
  const index = createIndex()
  const ids = newestFirst(6)
  const from = (n: number) => ({ epoch: 5, from: ids[n] ?? '' })
  assert.ok(await index.extend(owner, ids.slice(0, 2), from(1), undefined))
  assert.not.ok(await index.extend(owner, ids.slice(4), from(5), ids[3]))
  assert.not.ok(await index.extend(owner, ids.slice(2), { epoch: 6, from: '' }, ids[1]))
  assert.equal((await index.all()).ids, ids.slice(0, 2))
  assert.ok(await index.extend(owner, ids.slice(2), { epoch: 5, from: '' }, ids[1]))
  assert.equal((await index.all()).ids, ids)
  assert.equal(await index.known(owner), { epoch: 5, from: '' })
})

test('what is known of an index expires before the index', async () => {
  const index = createIndex()
  await index.extend(owner, newestFirst(1), { epoch: 5, from: '' }, undefined)
  const ttl = async (name: string) => redis.pttl(`${prefix}:{${owner}}:${name}`)
  const dayMs = 24 * 60 * 60 * 1000
  for (const [name, days] of [
    ['listed', 9],
    ['uploads', 10],
  ] as const) {
    const lifeMs = await ttl(name)
    assert.ok(lifeMs <= days * dayMs && lifeMs > days * dayMs - 60_000, `${name}: ${lifeMs} ms`)
  }
})

test('the mark of an older version of Millrace says nothing about the epoch', async () => {
  await redis.set(`${prefix}:{${owner}}:listed`, 1)
  assert.is(await createIndex().known(owner), undefined)
})

test('an id is not removed if its record was saved after it was read', async () => {
  const index = createIndex()
  const records = createUploadRecords({ redis, prefix })
  const [dead = '', changed = '', created = ''] = newestFirst(3)
  const create = (id: string) =>
    records.create({
      id,
      owner,
      state: 'awaiting',
      intent: { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' },
      findings: {},
      variants: [],
      createdAt: '',
      updatedAt: '',
    })
  await index.extend(owner, [dead, changed], { epoch: 5, from: '' }, undefined)
  const { revision } = await create(changed)
  await records.update({ owner, id: changed }, (current) => ({ ...current, state: 'received' }))
  await create(created)
  await index.remove(owner, [
    { id: dead, revision: undefined },
    { id: changed, revision },
    { id: created, revision: undefined },
  ])
  assert.equal((await index.all()).ids, [changed, created])
})

test.run()
