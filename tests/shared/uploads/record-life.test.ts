import { randomUUID } from 'node:crypto'
import { arrivalGraceMs, type Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('life of records')
const hourMs = 60 * 60 * 1000
const dayMs = 24 * hourMs
/** More than any step of a test takes. */
const toleranceMs = 60_000
const owner = 'someone'
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => redis.disconnect())

function announced(lifeMs: number, fields: Partial<Upload> = {}): Upload {
  const now = new Date().toISOString()
  return {
    id: newUploadId(),
    owner,
    state: 'awaiting',
    intent: { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' },
    findings: {},
    variants: [],
    createdAt: now,
    updatedAt: now,
    expiresAt: new Date(Date.now() + lifeMs).toISOString(),
    ...fields,
  }
}

const arrive = ({ expiresAt: _, ...upload }: Upload): Upload => ({
  ...upload,
  state: 'received',
  arrival: { etag: 'e', size: 1 },
})

/** Returns how long each key of the prefix still lives, in ms, by the end of its name. */
async function lives(): Promise<Map<string, number>> {
  const keys = await redis.keys(`${prefix}:{${owner}}:*`)
  const lives = await Promise.all(keys.map((key) => redis.pttl(key)))
  return new Map(keys.map((key, i) => [key.slice(`${prefix}:{${owner}}:`.length), lives[i] ?? 0]))
}

function expectAbout(lifeMs: number, expectedMs: number): void {
  assert.ok(Math.abs(lifeMs - expectedMs) < toleranceMs, `${lifeMs} ms, not about ${expectedMs}`)
}

test('all keys of an upload without bytes expire as soon as its bytes cannot arrive any more', async () => {
  const records = createUploadRecords({ redis, prefix })
  await records.create(announced(hourMs))
  const found = await lives()
  assert.equal([...found.keys()].map((name) => name.split(':')[0]).sort(), [
    'recent',
    'sequence',
    'upload',
    'uploads',
  ])
  for (const lifeMs of found.values()) expectAbout(lifeMs, hourMs + arrivalGraceMs)
})

test("an owner's keys live as long as its longest upload needs them", async () => {
  const records = createUploadRecords({ redis, prefix })
  await records.create(announced(7 * dayMs))
  await records.create(announced(hourMs))
  const found = await lives()
  for (const name of ['recent', 'sequence', 'uploads']) {
    expectAbout(found.get(name) ?? 0, 7 * dayMs + arrivalGraceMs)
  }
})

test('the record of a renewed upload lives longer', async () => {
  const records = createUploadRecords({ redis, prefix })
  const upload = announced(hourMs)
  await records.create(upload)
  const expiresAt = new Date(Date.now() + 3 * hourMs).toISOString()
  await records.update(upload, (current) => ({ ...current, expiresAt }))
  for (const lifeMs of (await lives()).values()) expectAbout(lifeMs, 3 * hourMs + arrivalGraceMs)
})

test('the keys of an owner whose upload arrived live for days', async () => {
  const records = createUploadRecords({ redis, prefix })
  const upload = announced(hourMs)
  await records.create(upload)
  await records.update(upload, arrive)
  const expectDays = async () => {
    const found = await lives()
    expectAbout(found.get(`upload:${upload.id}`) ?? 0, 14 * dayMs)
    for (const name of ['recent', 'sequence', 'uploads']) expectAbout(found.get(name) ?? 0, 10 * dayMs)
  }
  await expectDays()
  await records.create(announced(hourMs))
  await expectDays()
})

test('forgetting and erasing do not make the keys of an owner without files live for days', async () => {
  const records = createUploadRecords({ redis, prefix })
  for (const end of [records.forget, records.erase]) {
    const upload = announced(hourMs)
    await records.create(upload)
    await end(upload)
  }
  for (const [name, lifeMs] of await lives()) {
    // What is left of an index or of the last changes is that of the records.
    expectAbout(lifeMs, name.startsWith('erased:') ? 8 * dayMs : hourMs + arrivalGraceMs)
  }
})

test('an import that ended without bytes is known for a day', async () => {
  const records = createUploadRecords({ redis, prefix })
  const upload = announced(hourMs, { source: { url: 'https://files.example/a' } })
  await records.create(upload)
  await records.update(upload, ({ source: _, expiresAt: __, ...current }) => ({
    ...current,
    state: 'rejected',
  }))
  for (const lifeMs of (await lives()).values()) expectAbout(lifeMs, dayMs)
})

test('that an owner has no uploads is known for an hour only', async () => {
  const index = createUploadIndex({ redis, prefix })
  await index.extend(owner, [], { epoch: 5, from: '' }, undefined)
  const found = await lives()
  assert.equal([...found.keys()], ['listed'])
  expectAbout(found.get('listed') ?? 0, hourMs)
})

test('an index of uploads without bytes is known to be complete for as long as it lives, at most', async () => {
  const records = createUploadRecords({ redis, prefix })
  const index = createUploadIndex({ redis, prefix })
  await records.create(announced(hourMs))
  await index.extend(owner, [], { epoch: 5, from: '' }, undefined)
  const found = await lives()
  assert.ok((found.get('listed') ?? 0) < (found.get('uploads') ?? 0))
  expectAbout(found.get('listed') ?? 0, hourMs)
  expectAbout(found.get('uploads') ?? 0, hourMs + arrivalGraceMs)
})

test.run()
