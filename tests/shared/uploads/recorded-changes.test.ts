import { randomUUID } from 'node:crypto'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('recorded changes')
const hourMs = 60 * 60 * 1000
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

function upload(state: Upload['state'], agoMs = 0): Upload {
  const time = new Date(Date.now() - agoMs).toISOString()
  return {
    ...{ id: newUploadId(), owner, state, findings: {}, variants: [], createdAt: time, updatedAt: time },
    intent: { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' },
    ...(state !== 'awaiting' && { arrival: { etag: 'e', size: 1 } }),
  }
}

test('the end of an upload that S3 tells is silent after an hour, and nothing else is', async () => {
  const records = createUploadRecords({ redis, prefix })
  const isTold = async (next: Upload) => {
    await records.putChecked(undefined, next)
    return (await records.recentChanges(owner, 0)).some(({ id }) => id === next.id)
  }
  assert.is(await isTold(upload('ready', hourMs + 60_000)), false)
  assert.is(await isTold(upload('ready', hourMs - 60_000)), true)
  assert.is(await isTold(upload('received', 48 * hourMs)), true, 'it has not ended')
  const known = upload('received', 48 * hourMs)
  await records.create(known)
  const found = await records.find(known)
  const [before] = (await records.recentChanges(owner, 0)).slice(-1)
  await records.putChecked(found, { ...known, state: 'ready' })
  const [last] = (await records.recentChanges(owner, 0)).slice(-1)
  assert.is(last?.id, known.id)
  assert.ok((last?.sequence ?? 0) > (before?.sequence ?? 0), 'Redis had it in another state')
})

test('changes after a number are told in their order, each upload once with its last one', async () => {
  const records = createUploadRecords({ redis, prefix })
  const [first, second] = [upload('received'), upload('received')]
  await records.create(first)
  const [{ sequence: start } = { sequence: 0 }] = await records.recentChanges(owner, 0)
  await records.create(second)
  await records.update(first, (current) => ({ ...current, state: 'processing' }))
  const all = await records.recentChanges(owner, start)
  assert.equal(
    all.map(({ id }) => id),
    [second.id, first.id],
  )
  assert.equal(await records.changedSince(owner, start), all)
  const end = all[1]?.sequence ?? 0
  assert.equal(await records.changedSince(owner, end), [])
  assert.is(await records.changedSince(owner, end + 1), undefined, 'a number of the future')
  assert.is(await records.changedSince(owner, 1), undefined, 'a number of before the first change')
  // Redis may have lost changes of before its epoch, even if it still has others.
  const epoch = { current: async () => start + 1 }
  const afterFailover = createUploadRecords({ redis, prefix, epoch })
  assert.is(await afterFailover.changedSince(owner, start), undefined)
  assert.equal(await afterFailover.changedSince(owner, end), [])
  assert.is(await records.changedSince('nobody', end), undefined)
})

test('an upload counts as unfinished for as long as its record lives', async () => {
  const records = createUploadRecords({ redis, prefix })
  const awaiting: Upload = { ...upload('awaiting'), expiresAt: new Date(Date.now() + hourMs).toISOString() }
  const key = `${prefix}:{${owner}}:unfinished`
  await redis.zadd(key, 1, awaiting.id)
  await records.create(awaiting, { networks: [] })
  const untilMs = Number(await redis.zscore(key, awaiting.id))
  const leftMs = await redis.pttl(`${prefix}:{${owner}}:upload:${awaiting.id}`)
  assert.ok(Math.abs(untilMs - Date.now() - leftMs) < 60_000, `${untilMs - Date.now()} and ${leftMs} ms`)
})

test.run()
