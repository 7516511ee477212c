import { PutObjectCommand } from '@aws-sdk/client-s3'
import { createCompleteIndex } from '@millrace/api/listing/complete-index.ts'
import { createListUploads, type ListOptions } from '@millrace/api/listing/list-uploads.ts'
import { createNewestIds } from '@millrace/api/listing/newest-ids.ts'
import { createOldestIds } from '@millrace/api/listing/oldest-ids.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { createRedisEpoch } from '@millrace/shared/connections/redis-epoch.ts'
import { createListOldestUploadIds } from '@millrace/shared/ledger/list-oldest-upload-ids.ts'
import { createListUploadIds } from '@millrace/shared/ledger/list-upload-ids.ts'
import { announcementKey, originalKey, unfinishedKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId, smallestUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'

const test = suite('finding uploads')
const dayMs = 24 * 60 * 60 * 1000
let api: ApiInstances
let client: HttpClient
let owner: string

test.before(async () => {
  api = await startApiInstances({ environment: { RATE_LIMIT_PER_MINUTE: '100000' } })
})
test.before.each(async () => {
  client = createHttpClient(api.url)
  const { id } = await announce(client, 7)
  const [key = ''] = await api.redis.keys(`${api.prefix}:*:upload:${id}`)
  owner = /\{(.+)\}/.exec(key)?.[1] ?? ''
  await client.delete(`/uploads/${id}`)
})
test.after(() => api.close())

/** Returns an id of a time. @param timeMs ms since 1970 */
const idAt = (timeMs: number) => `${smallestUploadId(timeMs).slice(0, 14)}${newUploadId().slice(14)}`

/** Creates a finished upload of which only Redis knows. @param agoMs how old it is, in ms */
async function create(
  agoMs: number,
  fields: { state?: Upload['state']; filename?: string; metadata?: Record<string, string> } = {},
): Promise<string> {
  const { state = 'ready', filename = 'a.jpg', metadata } = fields
  const at = new Date(Date.now() - agoMs).toISOString()
  const id = idAt(Date.now() - agoMs)
  await createUploadRecords({ redis: api.redis, prefix: api.prefix }).create({
    id,
    owner,
    state,
    intent: {
      filename,
      contentType: 'image/jpeg',
      size: 7,
      preset: 'default',
      ...(metadata && { metadata }),
    },
    arrival: { etag: 'x', size: 7 },
    findings: {},
    variants: [],
    createdAt: at,
    updatedAt: at,
  })
  return id
}

const idsOf = ({ uploads }: { uploads: { id: string }[] }) => uploads.map(({ id }) => id)
const find = async (query: string) => idsOf(bodyOf(await client.get(`/uploads?${query}`), UploadPage))

/** Follows the cursors to the last page. @param onPage is called after each page */
async function findAll(query: string, onPage?: (ids: string[]) => Promise<unknown>): Promise<string[]> {
  const ids: string[] = []
  let cursor: string | undefined
  do {
    const path = `/uploads?${query}${cursor ? `&cursor=${cursor}` : ''}`
    const page = bodyOf(await client.get(path), UploadPage)
    ids.push(...idsOf(page))
    await onPage?.(idsOf(page))
    cursor = page.nextCursor
  } while (cursor)
  return ids
}

test('each filter alone, and all together', async () => {
  const red = { color: 'red', size: 'l' }
  const old = await create(3 * dayMs, { filename: 'harbour.jpg', metadata: red })
  const failed = await create(2 * dayMs, { filename: 'harbour.png', metadata: red, state: 'failed' })
  const blue = await create(dayMs, { filename: 'beach.jpg', metadata: { color: 'blue' } })
  const plain = await create(1000, { state: 'processing' })
  const day = (agoMs: number) => new Date(Date.now() - agoMs).toISOString()

  assert.equal(await find('state=failed'), [failed])
  assert.equal(await find('state=failed,processing'), [plain, failed])
  assert.equal(await find('state=failed&state=processing'), [plain, failed])
  assert.equal(await find('prefix=harbour'), [failed, old])
  assert.equal(await find('prefix=Harbour'), [])
  assert.equal(await find('metadata[color]=red'), [failed, old])
  assert.equal(await find('metadata%5Bcolor%5D=red&metadata[size]=l'), [failed, old])
  assert.equal(await find('metadata[color]=red&metadata[size]=m'), [])
  assert.equal(await find('metadata[constructor]=x'), [])
  assert.equal(await find(`from=${day(2.5 * dayMs)}`), [plain, blue, failed])
  assert.equal(await find(`to=${day(1.5 * dayMs)}`), [failed, old])
  assert.equal(await find(`from=${day(2.5 * dayMs)}&to=${day(1.5 * dayMs)}`), [failed])
  assert.equal(await find('order=oldest'), [old, failed, blue, plain])
  assert.equal(await find(`order=oldest&from=${day(2.5 * dayMs)}&to=${day(1000 * 60)}`), [failed, blue])
  const all = `state=failed,ready&prefix=har&metadata[color]=red&metadata[size]=l&from=${day(4 * dayMs)}`
  assert.equal(await find(`${all}&to=${day(dayMs)}&order=oldest`), [old, failed])
  assert.equal(await find(`${all}&to=${day(2.5 * dayMs)}&order=oldest`), [old])
})

test('a time filter includes its start and excludes its end', async () => {
  const id = await create(dayMs)
  const { createdAt } = bodyOf(await client.get('/uploads'), UploadPage).uploads[0] ?? { createdAt: '' }
  const ms = Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
  assert.ok(Math.abs(Date.parse(createdAt) - ms) < 1000)
  const at = (timeMs: number) => new Date(timeMs).toISOString()
  for (const order of ['newest', 'oldest']) {
    assert.equal(await find(`order=${order}&from=${at(ms)}&to=${at(ms + 1)}`), [id])
    assert.equal(await find(`order=${order}&from=${at(ms + 1)}`), [])
    assert.equal(await find(`order=${order}&to=${at(ms)}`), [])
  }
})

test('a filename prefix matches however its letters are composed', async () => {
  const id = await create(1000, { filename: 'Café.jpg'.normalize('NFD') })
  assert.equal(await find(`prefix=${encodeURIComponent('Café'.normalize('NFC'))}`), [id])
})

for (const [query, field] of [
  ['state=gone', 'state.0'],
  ['state=', 'state.0'],
  ['prefix=', 'prefix'],
  ['prefix=a&prefix=b', 'prefix'],
  ['metadata=x', 'metadata'],
  ['metadata[a]=1&metadata[a]=2', 'metadata.a'],
  ['metadata[]=1', 'metadata.'],
  ['metadata[__proto__]=1', 'metadata.__proto__'],
  ['from=yesterday', 'from'],
  ['from=2026-02-31', 'from'],
  ['to=2026-01-01T25:00:00Z', 'to'],
  ['from=2026-02-01&to=2026-01-01', 'from'],
  ['order=size', 'order'],
  ['cursor=x', 'cursor'],
] as const) {
  test(`${query} is invalid`, async () => {
    for (const each of [client, createHttpClient(api.url)]) {
      const { status, body } = await each.get(`/uploads?${query}`)
      assert.is(status, 400)
      assert.match(JSON.stringify(body), `"field":"${field}"`)
    }
  })
}

test('more than ten fields of metadata are invalid', async () => {
  const query = (count: number) => Array.from({ length: count }, (_, n) => `metadata[a${n}]=1`).join('&')
  assert.is((await client.get(`/uploads?${query(10)}`)).status, 200)
  assert.is((await client.get(`/uploads?${query(11)}`)).status, 400)
})

test('300 uploads are found on pages of any order while some are deleted', async () => {
  const created = await Promise.all(
    Array.from({ length: 300 }, async (_, n) => {
      const isRed = n % 3 === 0
      const metadata = { color: isRed ? 'red' : 'blue' }
      return { isRed, id: await create((400 - n) * 1000, { metadata }) }
    }),
  )
  const red = created.filter(({ isRed }) => isRed).map(({ id }) => id)
  assert.equal(await findAll('order=oldest&limit=7&metadata[color]=red'), red)
  assert.equal(
    await findAll('order=oldest&limit=70'),
    created.map(({ id }) => id),
  )
  const deleted = new Set<string>()
  const found = await findAll('limit=7&metadata[color]=red', async (ids) => {
    // One of this page, and one that the next pages would have.
    const next = red[red.indexOf(ids.at(-1) ?? '') - 3]
    for (const id of [ids[0], next]) {
      if (id === undefined) continue
      assert.is((await client.delete(`/uploads/${id}`)).status, 200)
      deleted.add(id)
    }
  })
  const seenThenDeleted = found.filter((id) => deleted.has(id))
  const expected = red.filter((id) => !deleted.has(id) || seenThenDeleted.includes(id))
  assert.equal(found, expected.toReversed())
  assert.ok(deleted.size > seenThenDeleted.length)
})

test('a rare match costs a bounded number of lookups for each page, and is found in the end', async () => {
  const match = await create(900_000, { filename: 'rare.jpg' })
  const others = await Promise.all(Array.from({ length: 400 }, (_, n) => create(n * 1000)))
  const first = bodyOf(await client.get('/uploads?prefix=rare&limit=50'), UploadPage)
  assert.equal(first, { uploads: [], nextCursor: others.sort().reverse()[50 + 300 - 1] })
  assert.equal(await findAll('prefix=rare&limit=50'), [match])
  assert.equal(await findAll('prefix=rare&limit=50&order=oldest'), [match])
})

test('a cursor of another order or filter is a position in time', async () => {
  const ids = [await create(4000), await create(3000), await create(2000), await create(1000)]
  const { nextCursor } = bodyOf(await client.get('/uploads?limit=2'), UploadPage)
  assert.is(nextCursor, ids[2])
  assert.equal(await find(`order=oldest&cursor=${nextCursor}`), [ids[3]])
  assert.equal(await find(`prefix=a&cursor=${nextCursor}`), [ids[1], ids[0]])
})

test('oldest first, pages continue from S3 to the index without gaps or repetitions', async () => {
  const { s3, bucket, redis, prefix } = api
  const now = Date.now()
  const ids = [
    ...Array.from({ length: 12 }, (_, n) => idAt(now - (90 - n) * dayMs)),
    // More in one ms than a listing returns.
    ...Array.from({ length: 12 }, () => idAt(now - 50 * dayMs)),
    ...Array.from({ length: 12 }, (_, n) => idAt(now - (3_000 - n) * 1000)),
  ].sort()
  const put = (Key: string) =>
    s3.send(
      new PutObjectCommand({
        Bucket: bucket,
        Key,
        Body: 'x',
        Metadata: { filename: 'a.jpg', preset: 'default' },
      }),
    )
  await Promise.all(ids.map((id) => put(originalKey({ owner, id }))))
  // Unfinished bytes and announcements of the same uploads, so that a page can end between the two.
  for (const id of ids.slice(0, 6)) {
    await put(unfinishedKey({ owner, id }))
    await put(announcementKey({ owner, id }))
  }
  const onlyInIndex = await create(1_500_000)
  const base = { redis, prefix }
  const index = createUploadIndex({ ...base, maxIds: 8 })
  const listUploadIds = createListUploadIds({ s3, bucket, pageSize: 6 })
  const common = {
    index,
    epoch: createRedisEpoch({ ...base, maxAgeMs: 0 }),
    completeIndex: createCompleteIndex({ ...base, index, listUploadIds, log: { warn: () => undefined } }),
  }
  const listOldestUploadIds = createListOldestUploadIds({ s3, bucket, pageSize: 6 })
  const listUploads = createListUploads({
    index,
    newestIds: createNewestIds({ ...common, listUploadIds, waitMs: 20_000 }),
    oldestIds: createOldestIds({ ...common, listOldestUploadIds }),
    lookup: createTestLifecycle({ ...base, s3, bucket }).lookup,
  })
  const listAll = async (options: ListOptions) => {
    const listed: string[] = []
    let cursor: string | undefined
    do {
      const page = await listUploads(owner, { ...options, cursor })
      assert.ok(page.uploads.length <= options.limit)
      listed.push(...idsOf(page))
      cursor = page.nextCursor
    } while (cursor !== undefined)
    return listed
  }
  const expected = [...ids, onlyInIndex].sort()
  assert.equal(await listAll({ limit: 7, order: 'oldest' }), expected)
  await listUploads(owner, { limit: 1 })
  assert.ok((await index.known(owner))?.from, 'the index has the newest ids only')
  assert.equal(await listAll({ limit: 7, order: 'oldest' }), expected)
  assert.equal(await listAll({ limit: 200, order: 'oldest' }), expected)
  const from = new Date(now - 60 * dayMs).toISOString()
  const recent = expected.filter((id) => id >= smallestUploadId(Date.parse(from)))
  assert.equal(await listAll({ limit: 9, order: 'oldest', filter: { from } }), recent)
  assert.equal(await listAll({ limit: 9, filter: { from } }), recent.toReversed())
})

test.run()
