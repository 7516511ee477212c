import { randomUUID } from 'node:crypto'
import { createCompleteIndex } from '@millrace/api/listing/complete-index.ts'
import { createListUploads } from '@millrace/api/listing/list-uploads.ts'
import { createNewestIds } from '@millrace/api/listing/newest-ids.ts'
import { createOldestIds } from '@millrace/api/listing/oldest-ids.ts'
import type { ListOldestUploadIds } from '@millrace/shared/ledger/list-oldest-upload-ids.ts'
import type { ListUploadIds } from '@millrace/shared/ledger/list-upload-ids.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { smallestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('pages of uploads')
const owner = 'someone'
const startMs = Date.UTC(2026, 10, 1)
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.after(() => redis.disconnect())

/** A list whose index is in Redis and keeps 6 ids, of uploads in an S3 that lists few at a time. */
function createList(pageSize: number) {
  prefix = `test-${randomUUID()}`
  /** What S3 has, oldest first. */
  const ids: string[] = []
  let epochNow = 1
  const epoch = { current: async () => epochNow }
  const index = createUploadIndex({ redis, prefix, maxIds: 6 })
  const listUploadIds: ListUploadIds = async function* (_owner, { before, maxRounds = 1000 } = {}) {
    for (let rounds = 0, end = before; rounds < maxRounds; rounds++) {
      const older = ids.filter((id) => end === undefined || id < end).reverse()
      const window = older.slice(0, pageSize)
      const from = older.length > pageSize ? (window.at(-1) ?? '') : ''
      yield { ids: window, from }
      if (from === '') return undefined
      end = from
    }
    return undefined
  }
  const listOldestUploadIds: ListOldestUploadIds = async function* (_owner, { after, before, maxRounds }) {
    for (let rounds = 0, start = after; rounds < maxRounds; rounds++) {
      const younger = ids.filter(
        (id) => (start === undefined || id > start) && (before === undefined || id < before),
      )
      const run = younger.slice(0, pageSize)
      const upTo = younger.length > pageSize ? run.at(-1) : undefined
      yield { ids: run, upTo }
      if (upTo === undefined) return undefined
      start = upTo
    }
    return undefined
  }
  const log = { warn: () => undefined }
  const common = {
    index,
    epoch,
    completeIndex: createCompleteIndex({ redis, prefix, index, listUploadIds, log }),
  }
  const find = async ({ id }: UploadAddress) =>
    ids.includes(id) ? { upload: uploadOf(id), revision: 1 } : undefined
  const listUploads = createListUploads({
    index,
    newestIds: createNewestIds({ ...common, listUploadIds, waitMs: 20_000 }),
    oldestIds: createOldestIds({ ...common, listOldestUploadIds }),
    lookup: { find },
  })
  return {
    ids,
    listUploads,
    /** Adds an upload that is younger than all others, or of the same ms. */
    async add(laterByMs: number, { isIndexed = true } = {}): Promise<void> {
      const last = ids.at(-1)
      const timeMs = last === undefined ? startMs : Number.parseInt(last.slice(0, 8) + last.slice(9, 13), 16)
      const tail = ids.length.toString(16).padStart(12, '0')
      const id = `${smallestUploadId(timeMs + laterByMs).slice(0, 24)}${tail}`
      ids.push(id)
      if (isIndexed) await redis.zadd(`${prefix}:{${owner}}:uploads`, 0, id)
    },
    /** Saves the record of an upload again, which adds its id to the index. */
    async saveAgain(id: string): Promise<void> {
      await redis.zadd(`${prefix}:{${owner}}:uploads`, 0, id)
    },
    /** Begins an epoch with an index that lacks some ids, or all. */
    async loseIndex(isLost: (id: string) => boolean): Promise<void> {
      epochNow += 1
      await redis.zrem(`${prefix}:{${owner}}:uploads`, 'none', ...ids.filter(isLost))
    },
  }
}

/** Some of the uploads, in no pattern. */
const isRed = (id: string) => /[0457bc]$/.test(id)

function uploadOf(id: string): Upload {
  return {
    id,
    owner,
    state: 'ready',
    intent: { filename: isRed(id) ? 'red' : 'blue', contentType: 'a/b', size: 1, preset: 'default' },
    arrival: { etag: 'e', size: 1 },
    findings: {},
    variants: [],
    createdAt: '',
    updatedAt: '',
  }
}

const times = (maxLength: number) => fc.array(fc.constantFrom(0, 1, 60_000, 86_400_000), { maxLength })

for (const order of ['newest', 'oldest'] as const) {
  test(`property: pages of any size have all uploads once, ${order} first, while others are added`, async () => {
    await checkProperty(
      fc.asyncProperty(
        times(20),
        times(6),
        fc.integer({ min: 1, max: 9 }),
        fc.integer({ min: 2, max: 9 }),
        fc.boolean(),
        fc.boolean(),
        async (before, meanwhile, limit, pageSize, isIndexed, isFiltered) => {
          const list = createList(pageSize)
          for (const laterByMs of before) await list.add(laterByMs, { isIndexed })
          const first = [...list.ids]
          const filter = isFiltered ? { prefix: 'red' } : {}
          const matching = (ids: string[]) => (isFiltered ? ids.filter(isRed) : ids)
          const added = [...meanwhile]
          const listed: string[] = []
          let cursor: string | undefined
          do {
            const page = await list.listUploads(owner, { cursor, limit, order, filter })
            assert.ok(page.uploads.length <= limit)
            listed.push(...page.uploads.map(({ id }) => id))
            cursor = page.nextCursor
            const laterByMs = added.shift()
            if (cursor !== undefined && laterByMs !== undefined) await list.add(laterByMs)
          } while (cursor !== undefined)
          assert.equal(listed, matching(order === 'newest' ? first.toReversed() : list.ids))
        },
      ),
      { runs: 12 },
    )
  })
}

test('a list goes on with S3 when Redis loses the index, or some of it, between two pages', async () => {
  for (const [order, isLost] of [
    ['newest', () => true],
    ['oldest', () => true],
    ['newest', isRed],
    ['oldest', isRed],
  ] as const) {
    const list = createList(4)
    for (let n = 0; n < 15; n++) await list.add(60_000)
    const listed: string[] = []
    let cursor: string | undefined
    do {
      const page = await list.listUploads(owner, { cursor, limit: 3, order })
      listed.push(...page.uploads.map(({ id }) => id))
      cursor = page.nextCursor
      if (listed.length === 3) await list.loseIndex(isLost)
    } while (cursor !== undefined)
    assert.equal(listed, order === 'newest' ? list.ids.toReversed() : list.ids)
  }
})

test('an old upload whose record is saved again hides none of those that are younger and only in S3', async () => {
  const list = createList(4)
  for (let n = 0; n < 15; n++) await list.add(60_000, { isIndexed: false })
  // The index has the newest ones, and the first is far older.
  await list.listUploads(owner, { limit: 1 })
  await list.saveAgain(list.ids[0] ?? '')
  const listed: string[] = []
  let cursor: string | undefined
  do {
    const page = await list.listUploads(owner, { cursor, limit: 5 })
    listed.push(...page.uploads.map(({ id }) => id))
    cursor = page.nextCursor
  } while (cursor !== undefined)
  assert.equal(listed, list.ids.toReversed())
})

for (const order of ['newest', 'oldest'] as const) {
  test(`a page with a filter that is full goes on with the next match, ${order} first`, async () => {
    const list = createList(9)
    for (let n = 0; n < 6; n++) await list.add(60_000)
    const reds = list.ids.filter(isRed)
    const expected = order === 'newest' ? reds.toReversed() : reds
    assert.is(expected.length, 3)
    let cursor: string | undefined
    for (const id of expected) {
      const page = await list.listUploads(owner, { cursor, limit: 1, order, filter: { prefix: 'red' } })
      assert.equal(
        page.uploads.map((upload) => upload.id),
        [id],
      )
      cursor = page.nextCursor
    }
  })
}

test.run()
