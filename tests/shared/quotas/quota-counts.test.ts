import { randomUUID } from 'node:crypto'
import {
  createQuotaReservations,
  dayOf,
  type QuotaLimits,
} from '@millrace/shared/quotas/quota-reservations.ts'
import { largestUploadIdOf, smallestUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('counts of quota')
const dayMs = 24 * 60 * 60 * 1000
const owner = 'someone'
/** All times are those of ids, so that no test depends on midnight. */
const noon = Math.floor(Date.now() / dayMs) * dayMs + dayMs / 2
const overdueAtMs = Date.now() + dayMs
const [first, second, third] = [
  smallestUploadId(noon),
  smallestUploadId(noon + 1),
  smallestUploadId(noon + 2),
]
const yesterday = largestUploadIdOf(noon - dayMs)
const ids = [first, second, third, yesterday]
const limitNames = ['bytesTotal', 'filesTotal', 'bytesPerDay', 'filesPerDay'] as const
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => redis.disconnect())

type Count = { bytes: number; files: number }

/** Returns everything that is counted of the owner. A count that does not exist is undefined. */
async function counts(of = prefix) {
  const key = (name: string) => `${of}:{${owner}}:quota${name}`
  const count = async (name: string): Promise<Count | undefined> => {
    const { bytes, files } = await redis.hgetall(key(name))
    return bytes === undefined ? undefined : { bytes: Number(bytes), files: Number(files) }
  }
  const [total, today, dayBefore, held, open] = await Promise.all([
    count(''),
    count(`:${dayOf(noon)}`),
    count(`:${dayOf(noon - dayMs)}`),
    redis.hgetall(key(':held')),
    redis.zrange(key(':open'), '0', '-1'),
  ])
  return { total, today, dayBefore, held, open: open.sort() }
}

async function create(uploads: { id: string; bytes: number }[] = []) {
  const reservations = createQuotaReservations({ redis, prefix })
  await reservations.adopt(owner, uploads, noon)
  return {
    ...reservations,
    reserve: (id: string, bytes: number, limits: QuotaLimits = {}) =>
      reservations.reserve({ owner, id }, bytes, overdueAtMs, limits),
    release: (id: string) => reservations.release({ owner, id }),
    cancel: (id: string) => reservations.release({ owner, id }, { ofToday: true }),
    confirm: (id: string, bytes: number) => reservations.confirm({ owner, id }, bytes),
  }
}

test('a reservation is released once, however often that is repeated, and stays counted for its day', async () => {
  const quota = await create()
  await quota.reserve(first, 7)
  await quota.reserve(second, 5)
  const today = { bytes: 12, files: 2 }
  for (let n = 0; n < 3; n++) {
    await quota.release(first)
    assert.equal(await counts(), {
      total: { bytes: 5, files: 1 },
      today,
      dayBefore: undefined,
      held: { [second]: '5' },
      open: [second],
    })
  }
})

test('releasing or cancelling an upload without a reservation changes nothing', async () => {
  const quota = await create()
  await quota.reserve(first, 7)
  const before = await counts()
  for (const id of [second, yesterday]) {
    await quota.release(id)
    await quota.cancel(id)
  }
  assert.equal(await counts(), before)
})

test('a cancelled reservation is released once from the totals and from its day', async () => {
  const quota = await create()
  await quota.reserve(first, 7)
  await quota.reserve(second, 5)
  for (let n = 0; n < 3; n++) {
    await quota.cancel(first)
    const left = { bytes: 5, files: 1 }
    assert.equal(await counts(), {
      total: left,
      today: left,
      dayBefore: undefined,
      held: { [second]: '5' },
      open: [second],
    })
  }
})

test('cancelling does not begin the count of a day that has expired', async () => {
  const quota = await create([{ id: yesterday, bytes: 7 }])
  await quota.cancel(yesterday)
  const { total, dayBefore } = await counts()
  assert.equal([total, dayBefore], [{ bytes: 0, files: 0 }, undefined])
})

test('an upload that is reserved again changes its size and is no other file', async () => {
  const quota = await create()
  for (const bytes of [7, 10, 4]) {
    await quota.reserve(first, bytes)
    const count = { bytes, files: 1 }
    const { total, today, held } = await counts()
    assert.equal([total, today, held], [count, count, { [first]: String(bytes) }])
  }
})

test('each limit admits exactly as much as it says', async () => {
  for (const [by, use] of [
    ['bytesTotal', 10],
    ['bytesPerDay', 10],
    ['filesTotal', 1],
    ['filesPerDay', 1],
  ] as const) {
    const limits = { [by]: use }
    prefix = `test-${randomUUID()}`
    const quota = await create()
    assert.equal(await quota.reserve(first, 10, limits), { outcome: 'reserved' }, by)
    const refused = { outcome: 'refused' as const, by, limit: use, remaining: 0 }
    assert.equal(await quota.reserve(second, 1, limits), refused)
    if (by === 'bytesTotal' || by === 'bytesPerDay') {
      assert.equal(await quota.reserve(first, 11, limits), refused, 'one byte more of the same file')
      // A file without bytes fits, and so does a smaller one.
      assert.equal(await quota.reserve(second, 0, limits), { outcome: 'reserved' })
    }
    assert.equal(await quota.reserve(first, 9, limits), { outcome: 'reserved' })
    assert.equal(await quota.reserve(first, 8, { [by]: 0 }), { outcome: 'reserved' }, 'it becomes smaller')
  }
})

test('an upload that arrived has its real size, and is not looked for any more', async () => {
  const quota = await create()
  await quota.reserve(first, 7)
  for (const bytes of [9, 9]) {
    await quota.confirm(first, bytes)
    const { total, today, held, open } = await counts()
    assert.equal([total, held, open], [{ bytes: 9, files: 1 }, { [first]: '9' }, []])
    assert.equal(today, { bytes: 7, files: 1 }, 'the day has what was announced')
  }
  assert.equal(await quota.overdue(owner, Number.MAX_SAFE_INTEGER, 10), [])
  assert.equal(await quota.arrived(owner), [first])
})

test('an upload whose quota was released is not counted again when its bytes arrive late', async () => {
  const quota = await create()
  await quota.reserve(first, 7)
  await quota.release(first)
  await quota.confirm(first, 7)
  const { total, held } = await counts()
  assert.equal([total, held], [{ bytes: 0, files: 0 }, {}])
})

test('an upload is overdue from its time on, and not before', async () => {
  const quota = await create()
  await quota.reserve(first, 7)
  assert.equal(await quota.overdue(owner, overdueAtMs - 1, 10), [])
  assert.equal(await quota.overdue(owner, overdueAtMs, 10), [first])
  await quota.extend({ owner, id: first }, overdueAtMs + 5)
  assert.equal(await quota.overdue(owner, overdueAtMs + 4, 10), [])
  assert.equal(await quota.overdue(owner, overdueAtMs + 5, 10), [first])
  await quota.confirm(first, 7)
  await quota.extend({ owner, id: first }, overdueAtMs)
  assert.equal(await quota.overdue(owner, overdueAtMs, 10), [], 'it arrived')
})

test('an upload of an earlier day that is found in S3 does not count for today', async () => {
  await create([
    { id: yesterday, bytes: 3 },
    { id: first, bytes: 4 },
  ])
  const { total, today, dayBefore } = await counts()
  assert.equal([total, today, dayBefore], [{ bytes: 7, files: 2 }, { bytes: 4, files: 1 }, undefined])
})

const id = fc.constantFrom(...ids)
const bytes = fc.nat(20)
const step = fc.oneof(
  fc.record({ do: fc.constant('reserve' as const), id, bytes }),
  fc.record({ do: fc.constant('confirm' as const), id, bytes }),
  fc.record({ do: fc.constant('release' as const), id }),
  fc.record({ do: fc.constant('cancel' as const), id }),
  fc.record({ do: fc.constant('adopt' as const), id, bytes }),
)
const anyLimits = fc.record(
  { bytesTotal: fc.nat(60), filesTotal: fc.nat(4), bytesPerDay: fc.nat(60), filesPerDay: fc.nat(4) },
  { requiredKeys: [] },
)

/** The same in plain numbers. */
function createModel(limits: QuotaLimits) {
  const held = new Map<string, number>()
  const open = new Set<string>()
  const days = new Map<string, Count>()
  const total = () => ({ bytes: [...held.values()].reduce((sum, each) => sum + each, 0), files: held.size })
  const dayOfId = (id: string) => dayOf(uploadIdTimeMs(id))
  const addToDay = (day: string, { bytes, files }: Count) => {
    const count = days.get(day) ?? { bytes: 0, files: 0 }
    days.set(day, { bytes: count.bytes + bytes, files: count.files + files })
  }
  return {
    total,
    counts: () => ({
      today: days.get(dayOf(noon)),
      dayBefore: days.get(dayOf(noon - dayMs)),
      held: Object.fromEntries([...held].map(([id, bytes]) => [id, String(bytes)])),
      open: [...open].sort(),
    }),
    reserve(id: string, bytes: number) {
      const before = held.get(id)
      const more = { bytes: bytes - (before ?? 0), files: before === undefined ? 1 : 0 }
      const day = days.get(dayOfId(id)) ?? { bytes: 0, files: 0 }
      for (const by of limitNames) {
        const limit = limits[by]
        const kind = by.startsWith('bytes') ? 'bytes' : 'files'
        const used = (by.endsWith('Total') ? total() : day)[kind]
        if (limit !== undefined && more[kind] > 0 && used + more[kind] > limit)
          return { outcome: 'refused' as const, by, limit, remaining: Math.max(0, limit - used) }
      }
      addToDay(dayOfId(id), more)
      held.set(id, bytes)
      open.add(id)
      return { outcome: 'reserved' as const }
    },
    confirm(id: string, bytes: number): void {
      open.delete(id)
      if (held.has(id)) held.set(id, bytes)
    },
    release(id: string, ofToday = false): void {
      const before = held.get(id)
      if (before === undefined) return
      held.delete(id)
      open.delete(id)
      if (ofToday && days.has(dayOfId(id))) addToDay(dayOfId(id), { bytes: -before, files: -1 })
    },
    adopt(id: string, bytes: number): void {
      if (held.has(id)) return
      held.set(id, bytes)
      if (dayOfId(id) === dayOf(noon)) addToDay(dayOfId(id), { bytes, files: 1 })
    },
  }
}

test('property: whatever is reserved, confirmed, released and adopted in whatever order, the sums agree with the uploads, are never negative, and no reservation exceeds a limit', async () => {
  await checkProperty(
    fc.asyncProperty(fc.array(step, { maxLength: 15 }), anyLimits, async (steps, limits) => {
      prefix = `test-${randomUUID()}`
      const quota = await create()
      const model = createModel(limits)
      for (const each of steps) {
        if (each.do === 'reserve') {
          const before = model.total()
          const expected = model.reserve(each.id, each.bytes)
          assert.equal(await quota.reserve(each.id, each.bytes, limits), expected)
          const { bytes, files } = model.total()
          assert.ok(bytes <= Math.max(before.bytes, limits.bytesTotal ?? Number.POSITIVE_INFINITY))
          assert.ok(files <= Math.max(before.files, limits.filesTotal ?? Number.POSITIVE_INFINITY))
        } else if (each.do === 'confirm') {
          model.confirm(each.id, each.bytes)
          await quota.confirm(each.id, each.bytes)
        } else if (each.do === 'adopt') {
          model.adopt(each.id, each.bytes)
          await quota.adopt(owner, [{ id: each.id, bytes: each.bytes }], noon)
        } else {
          model.release(each.id, each.do === 'cancel')
          await quota[each.do](each.id)
        }
        const { total, ...others } = await counts()
        assert.equal(total ?? { bytes: 0, files: 0 }, model.total())
        assert.equal(others, model.counts())
      }
    }),
    { runs: 60 },
  )
})

test.run()
