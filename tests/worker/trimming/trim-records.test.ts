import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { createRedisMemory } from '@millrace/shared/connections/redis-memory.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { createTrimRecords } from '@millrace/worker/trimming/trim-records.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { limitRedisMemory } from '../../support/limit-redis-memory.ts'
import { suite } from '../../support/suite.ts'

const test = suite('trimming records')
const prefix = 'test'
const minuteMs = 60_000
const hourMs = 60 * minuteMs
/** The size of a key that no trimming may delete. */
const otherBytes = 20 * 1024 ** 2

let directory: string
let server: RedisServer
let redis: Redis

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-trim-'))
  server = await startRedisServer({ directory })
  redis = new Redis(server.url)
})
test.before.each(async () => {
  await redis.flushall()
  await redis.config('SET', 'maxmemory', '0')
})
test.after(async () => {
  redis.disconnect()
  await server.close()
  await rm(directory, { recursive: true })
})

const records = () => createUploadRecords({ redis, prefix })
const memory = () => createRedisMemory({ redis, maxAgeMs: 0 })
const trim = () => createTrimRecords({ redis, prefix, memory: memory() })(async () => undefined)

function uploadOf(state: Upload['state'], properties: Partial<Upload> & { ageMs?: number } = {}): Upload {
  const { ageMs = 0, ...rest } = properties
  const changedAt = new Date(Date.now() - ageMs).toISOString()
  return {
    id: newUploadId(),
    owner: 's-tester',
    state,
    intent: { filename: 'photo.jpg', contentType: 'image/jpeg', size: 7, preset: 'default' },
    ...(state !== 'awaiting' && { arrival: { etag: 'etag', size: 7 } }),
    findings: {},
    variants: [],
    createdAt: changedAt,
    updatedAt: changedAt,
    ...rest,
  }
}

/** Creates records of ready uploads that were finished this long ago. */
async function fill(count: number, ageMs: number): Promise<Upload[]> {
  const uploads = Array.from({ length: count }, (_, index) =>
    uploadOf('ready', { ageMs, owner: `s-tester-${index % 10}` }),
  )
  await Promise.all(uploads.map((upload) => records().create(upload)))
  return uploads
}

async function countKept(uploads: Upload[]): Promise<number> {
  const found = await Promise.all(uploads.map((upload) => records().find(upload)))
  return found.filter(Boolean).length
}

test('old finished records are deleted first, until the memory is within its budget', async () => {
  const old = await fill(3000, 2 * hourMs)
  const recent = await fill(500, 2 * minuteMs)
  await limitRedisMemory(redis, 0.65)
  const { deleted, usedShare } = await trim()
  assert.ok(usedShare <= 0.55, String(usedShare))
  const keptOld = await countKept(old)
  assert.ok(keptOld > 0 && keptOld < old.length, `${keptOld} of ${old.length} old records are kept`)
  assert.is(await countKept(recent), recent.length)
  assert.is(deleted, old.length - keptOld)
})

test('recent finished records are deleted if deleting old ones is not enough, those of the last minute never', async () => {
  const old = await fill(500, 2 * hourMs)
  const recent = await fill(500, 2 * minuteMs)
  const fresh = await fill(500, 0)
  await redis.setrange('other data', otherBytes, 'x')
  await limitRedisMemory(redis, 0.9)
  assert.is((await trim()).deleted, 1000)
  assert.equal([await countKept(old), await countKept(recent), await countKept(fresh)], [0, 0, 500])
})

test('unfinished uploads, imports without bytes, unreadable records and erasure markers stay', async () => {
  const ageMs = 2 * hourMs
  const kept = [
    ...(['awaiting', 'received', 'processing'] as const).map((state) => uploadOf(state, { ageMs })),
    { ...uploadOf('awaiting', { ageMs }), state: 'failed' as const },
    { ...uploadOf('awaiting', { ageMs }), state: 'rejected' as const },
  ]
  const deleted = (['ready', 'rejected', 'failed'] as const).map((state) => uploadOf(state, { ageMs }))
  const erased = uploadOf('ready', { ageMs })
  for (const upload of [...kept, ...deleted, erased]) await records().create(upload)
  await records().erase(erased)
  await redis.hset(`${prefix}:{s-tester}:upload:odd`, 'revision', '1', 'record', 'not JSON')
  await redis.hset(`${prefix}:{s-tester}:upload:odder`, 'record', '[]')
  await redis.set(`${prefix}:{s-tester}:upload:oddest`, 'no hash')
  await redis.hset(`other:{s-tester}:upload:${erased.id}`, 'record', JSON.stringify(erased))
  const before = await redis.dbsize()
  await limitRedisMemory(redis, 0.9)
  assert.is((await trim()).deleted, deleted.length)
  assert.is(await redis.dbsize(), before - deleted.length)
  assert.is(await countKept(kept), kept.length)
  assert.is(await countKept(deleted), 0)
  assert.ok(await records().isErased(erased))
})

test('a Redis that is over its limit is trimmed', async () => {
  const old = await fill(2000, 2 * hourMs)
  await limitRedisMemory(redis, 1.2)
  assert.match(String(await redis.set('key', 1).catch((error: unknown) => error)), /OOM/)
  await trim()
  assert.is(await redis.set('key', 1), 'OK')
  assert.ok((await countKept(old)) < old.length)
})

test('with enough memory nothing is deleted', async () => {
  await fill(10, 2 * hourMs)
  await limitRedisMemory(redis, 0.5)
  assert.is((await trim()).deleted, 0)
})

test('finished records stay for a shorter time the fuller Redis is, all others stay as long as before', async () => {
  const dayMs = 24 * hourMs
  const shares: [usedShare: number, finishedMs: number][] = [
    [0.4, 7 * dayMs],
    [0.55, hourMs],
    [0.7, minuteMs],
  ]
  for (const [usedShare, finishedMs] of shares) {
    await limitRedisMemory(redis, usedShare)
    const expected: [Upload, number][] = [
      [uploadOf('ready'), finishedMs],
      [uploadOf('processing'), 14 * dayMs],
      // An import that got no bytes. Only its record has its outcome.
      [{ ...uploadOf('awaiting'), state: 'failed' }, dayMs],
    ]
    for (const [upload, lifeMs] of expected) {
      await records().create(upload)
      const ttlMs = await redis.pttl(`${prefix}:{s-tester}:upload:${upload.id}`)
      assert.ok(ttlMs <= lifeMs && ttlMs > lifeMs / 2, `${upload.state} at ${usedShare}: ${ttlMs} ms`)
    }
  }
})

test.run()
