import { PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { createCompleteIndex } from '@millrace/api/listing/complete-index.ts'
import { createListUploads } from '@millrace/api/listing/list-uploads.ts'
import { createNewestIds } from '@millrace/api/listing/newest-ids.ts'
import { createOldestIds } from '@millrace/api/listing/oldest-ids.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { connectStreamingS3 } from '@millrace/shared/connections/connections.ts'
import { createRedisEpoch } from '@millrace/shared/connections/redis-epoch.ts'
import { createListOldestUploadIds } from '@millrace/shared/ledger/list-oldest-upload-ids.ts'
import { createListUploadIds } from '@millrace/shared/ledger/list-upload-ids.ts'
import { manifestKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { arrivalGraceMs, type Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadIndex } from '@millrace/shared/uploads/upload-index.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openEventStream } from '../../support/event-stream.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { until } from '../../support/until.ts'

const test = suite('list of uploads')
const hourMs = 60 * 60 * 1000
const silent = { warn: () => undefined }
let proxy: S3Proxy
let api: ApiInstances
let proxied: S3Client
let closeClients: () => void
let client: HttpClient
let owner: string
let seen: SeenRequest[]

test.before(async () => {
  api = await startApiInstances({
    count: 2,
    environment: { RATE_LIMIT_PER_MINUTE: '100000' },
    async connectS3(access) {
      proxy = await startS3Proxy(access.endpoint)
      proxied = new S3Client({ ...access, endpoint: proxy.endpoint, maxAttempts: 2 })
      const streamingS3 = connectStreamingS3({ ...access, endpoint: proxy.endpoint })
      closeClients = () => [proxied, streamingS3].map((s3Client) => s3Client.destroy())
      return { s3: proxied, streamingS3 }
    },
  })
})
test.before.each(async () => {
  client = createHttpClient(api.url)
  await client.get('/session')
  const { id } = await announce(client, 7)
  const [key = ''] = await api.redis.keys(`${api.prefix}:*:upload:${id}`)
  owner = /\{(.+)\}/.exec(key)?.[1] ?? ''
  await client.delete(`/uploads/${id}`)
  api.redis.setMaxListeners(0)
  seen = []
  proxy.intercept((request) => {
    seen.push(request)
    return 'pass'
  })
})
test.after(async () => {
  closeClients()
  await api.close()
  await proxy.close()
})

/** A listing of uploads. Each instance also lists the API keys from time to time. */
const isListing = ({ method, path }: SeenRequest) =>
  method === 'GET' && path.includes('list-type=2') && !path.includes('prefix=keys%2F')
const key = (name: string) => `${api.prefix}:{${owner}}:${name}`
const list = async (query = '', base = api.url) =>
  bodyOf(await client.get(`/uploads${query}`, { base }), UploadPage)
const idsOf = (page: { uploads: { id: string }[] }) => page.uploads.map(({ id }) => id)

/** Returns an id of a time. @param timeMs ms since 1970 */
function idAt(timeMs: number): string {
  const hex = timeMs.toString(16).padStart(12, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8)}${newUploadId().slice(13)}`
}

/** Returns ids whose times lie one step apart, newest first. */
const idsBefore = (timeMs: number, count: number, stepMs: number) =>
  Array.from({ length: count }, (_, n) => idAt(timeMs - n * stepMs))

/** Puts originals into S3 of which Redis knows nothing. */
async function putOriginals(ids: string[]): Promise<void> {
  const put = (id: string) =>
    api.s3.send(
      new PutObjectCommand({
        Bucket: api.bucket,
        Key: originalKey({ owner, id }),
        Body: 'x',
        ContentType: 'image/jpeg',
        Metadata: { filename: 'a.jpg', preset: 'default' },
      }),
    )
  for (let i = 0; i < ids.length; i += 50) await Promise.all(ids.slice(i, i + 50).map(put))
}

/** Makes Redis say that it may have lost data. */
const beginEpoch = () => api.redis.hset(`${api.prefix}:epoch`, 'runId', 'another')

/**
 * A list with its own state, as another instance has, that waits for S3 as long as a test may take.
 *
 * @param options.maxIds how many ids its index keeps
 * @param options.pageSize how many keys one listing of S3 returns
 */
function createList({ maxIds = 1000, pageSize = 1000 } = {}) {
  const deps = { redis: api.redis, prefix: api.prefix }
  const s3 = { s3: proxied, bucket: api.bucket }
  const records = createUploadRecords(deps)
  const index = createUploadIndex({ ...deps, maxIds })
  const listUploadIds = createListUploadIds({ ...s3, pageSize })
  const common = {
    index,
    epoch: createRedisEpoch({ ...deps, maxAgeMs: 0 }),
    completeIndex: createCompleteIndex({ ...deps, index, listUploadIds, log: silent }),
  }
  const listUploads = createListUploads({
    index,
    newestIds: createNewestIds({ ...common, listUploadIds, waitMs: 20_000 }),
    oldestIds: createOldestIds({
      ...common,
      listOldestUploadIds: createListOldestUploadIds({ ...s3, pageSize }),
    }),
    lookup: createTestLifecycle({ ...deps, ...s3 }).lookup,
  })
  return { listUploads, index, records }
}

/** Follows the cursors from the first page to the last. */
async function listAll(query: string): Promise<string[]> {
  const ids: string[] = []
  let cursor: string | undefined
  do {
    const page = await list(`?${query}${cursor ? `&cursor=${cursor}` : ''}`)
    ids.push(...idsOf(page))
    cursor = page.nextCursor
  } while (cursor)
  return ids
}

test('eight first lists of an owner at two instances cost one listing of S3', async () => {
  const ids = idsBefore(Date.now(), 5, 1000)
  await putOriginals(ids)
  const [one, two] = [createList(), createList()]
  const requests = Array.from({ length: 8 }, (_, n) => (n % 2 ? one : two).listUploads(owner, { limit: 50 }))
  for (const { uploads, nextCursor } of await Promise.all(requests)) {
    assert.equal(idsOf({ uploads }), ids)
    assert.is(nextCursor, undefined)
  }
  assert.is(seen.filter(isListing).length, 3, 'originals, manifests and announcements')
})

test('the list of an earlier epoch is served while the listing of S3 is held', async () => {
  const ids = idsBefore(Date.now(), 60, 1000)
  await putOriginals(ids)
  await createList().listUploads(owner, { limit: 60 })
  await api.redis.set(key('listed'), '1 ')
  const held = proxy.hold(isListing)
  const pages = await Promise.all(Array.from({ length: 8 }, () => list()))
  await held.arrived
  for (const page of pages) {
    assert.equal(idsOf(page), ids.slice(0, 50))
    assert.is(page.nextCursor, ids[49])
  }
  held.release()
  await until(async () => !(await list('?limit=60')).nextCursor)
  assert.equal(await listAll('limit=50'), ids)
})

test('a list that may have gaps repeats its position, and none is left out', async () => {
  const ids = idsBefore(Date.now(), 5, 1000)
  await putOriginals(ids)
  // Redis lost all data, and has only what was read or saved since.
  await client.get(`/uploads/${ids[3]}`)
  const held = proxy.hold(isListing)
  const page = await list()
  assert.equal(idsOf(page), [ids[3]])
  held.release()
  await until(async () => (await list(`?cursor=${page.nextCursor}`)).uploads.length === 5)
  assert.equal(idsOf(await list(`?cursor=${page.nextCursor}`)), ids)
})

test('a page of dead ids costs a bounded number of lookups, and dead ids leave the index', async () => {
  const live = idsBefore(Date.now() - hourMs, 3, 1000)
  await putOriginals(live)
  await createList().listUploads(owner, { limit: 3 })
  const dead = idsBefore(Date.now(), 70, 1000)
  await api.redis.zadd(key('uploads'), ...dead.flatMap((id) => [0, id]))
  seen = []
  const first = await list('?limit=10')
  // Each is asked for its marker, original, manifest, edit and announcement.
  const lookups = seen.filter(({ path }) => dead.some((id) => path.includes(id)))
  assert.ok(lookups.length > 0 && lookups.length <= 5 * (10 + 50), `${lookups.length} lookups in S3`)
  assert.equal(first.uploads, [])
  assert.is(await api.redis.zcard(key('uploads')), 3 + 70 - 60)
  assert.equal(await listAll('limit=10'), live)
  assert.is(await api.redis.zcard(key('uploads')), 3)
})

test('uploads that Redis lost from the index are listed in the next epoch', async () => {
  const ids = idsBefore(Date.now(), 3, 1000)
  await putOriginals(ids)
  const { listUploads } = createList()
  await listUploads(owner, { limit: 3 })
  await api.redis.zrem(key('uploads'), ids[1] ?? '')
  assert.is((await listUploads(owner, { limit: 3 })).uploads.length, 2)
  await beginEpoch()
  assert.equal(idsOf(await listUploads(owner, { limit: 3 })), ids)
})

test('a list is complete without listing S3 again in the same epoch', async () => {
  await putOriginals(idsBefore(Date.now(), 3, 1000))
  await createList().listUploads(owner, { limit: 3 })
  const { id } = await announce(client, 7)
  seen = []
  const page = await list('', api.urls[1])
  assert.is(page.uploads.length, 4)
  assert.is(page.uploads[0]?.id, id)
  assert.equal(seen.filter(isListing), [])
})

test('an awaiting upload leaves the list once it has expired and no request can complete it', async () => {
  const records = createUploadRecords({ redis: api.redis, prefix: api.prefix })
  const [gone, late] = [await announce(client, 7), await announce(client, 7)]
  const expire = ({ id }: { id: string }, agoMs: number) =>
    records.update({ owner, id }, (current) => ({
      ...current,
      expiresAt: new Date(Date.now() - agoMs).toISOString(),
    }))
  await expire(gone, arrivalGraceMs + 1000)
  await expire(late, arrivalGraceMs - 60_000)
  assert.equal(idsOf(await list()), [late.id])
  assert.equal(await api.redis.zrange(key('uploads'), '0', '-1'), [late.id])
  // Its bytes arrived after all.
  await putOriginals([gone.id])
  const { bucket, prefix, redis, s3 } = api
  await createTestLifecycle({ bucket, prefix, redis, s3 }).receiveUpload({ owner, id: gone.id })
  assert.equal(idsOf(await list()), [late.id, gone.id])
})

test('the snapshot of /events is a page with a cursor, also if it is empty', async () => {
  const live = idsBefore(Date.now() - hourMs, 2, 1000)
  await putOriginals(live)
  await createList().listUploads(owner, { limit: 3 })
  const dead = idsBefore(Date.now(), 110, 1000)
  await api.redis.zadd(key('uploads'), ...dead.flatMap((id) => [0, id]))
  const snapshotOf = async () => {
    const stream = await openEventStream(new URL('/events', api.url), client)
    const event = await stream.next()
    stream.close()
    return event
  }
  const snapshot = await snapshotOf()
  assert.is(snapshot?.event, 'snapshot')
  assert.equal(snapshot?.data, { uploads: [], nextCursor: dead[99] })
  assert.equal(idsOf(await list(`?cursor=${dead[99]}`)), live)
})

test('pages and cursors continue from the index to S3, newest first, without gaps or repetitions', async () => {
  const now = Date.now()
  const burstMs = now - 30 * 24 * hourMs
  const originals = [
    ...idsBefore(now - 60_000, 20, 1000),
    ...idsBefore(burstMs, 30, 0),
    ...idsBefore(now - 400 * 24 * hourMs, 20, 24 * hourMs),
  ]
  await putOriginals(originals)
  const rejected = idAt(now - 200 * 24 * hourMs)
  const intent = { filename: 'a.jpg', contentType: 'image/jpeg', size: 1, preset: 'default' }
  const manifest = {
    version: 1,
    id: rejected,
    owner,
    outcome: 'rejected',
    intent,
    arrival: { etag: 'x', size: 1 },
    recipe: 'x',
    findings: {},
    variants: [],
    createdAt: new Date(uploadIdTimeMs(rejected)).toISOString(),
    finishedAt: new Date(now).toISOString(),
  }
  await api.s3.send(
    new PutObjectCommand({
      Bucket: api.bucket,
      Key: manifestKey({ owner, id: rejected }),
      Body: JSON.stringify(manifest),
    }),
  )
  const { listUploads, index, records } = createList({ maxIds: 15, pageSize: 20 })
  const awaiting: Upload = {
    id: idAt(now - 30_000),
    owner,
    state: 'awaiting',
    intent,
    findings: {},
    variants: [],
    createdAt: new Date(now).toISOString(),
    updatedAt: new Date(now).toISOString(),
    expiresAt: new Date(now + hourMs).toISOString(),
  }
  await records.create(awaiting)
  const listed: string[] = []
  let before: string | undefined
  let pages = 0
  do {
    seen = []
    const page = await listUploads(owner, { cursor: before, limit: 7 })
    assert.ok(page.uploads.length <= 7)
    const listings = seen.filter(isListing).length
    assert.ok(listings <= 50, `page ${pages} costs ${listings} listings`)
    listed.push(...idsOf(page))
    before = page.nextCursor
    pages += 1
  } while (before !== undefined)
  assert.equal(listed, [...originals, rejected, awaiting.id].sort().reverse())
  assert.ok((await index.known(owner))?.from, 'the index is incomplete')
})

test('an index that another instance left incomplete is completed', async () => {
  const ids = idsBefore(Date.now() - hourMs, 30, 1000)
  await putOriginals(ids)
  const { listUploads, index } = createList({ maxIds: 100 })
  const epoch = await createRedisEpoch({ redis: api.redis, prefix: api.prefix, maxAgeMs: 0 }).current()
  await index.extend(owner, ids.slice(0, 10), { epoch, from: ids[9] ?? '' }, undefined)
  assert.equal(idsOf(await listUploads(owner, { limit: 20 })), ids.slice(0, 20))
  await until(async () => (await index.known(owner))?.from === '')
  assert.equal(await api.redis.zcard(key('uploads')), 30)
})

test('ids of an earlier epoch leave room for those that are listed again', async () => {
  const ids = idsBefore(Date.now() - hourMs, 30, 60_000)
  await putOriginals(ids)
  await api.redis.zadd(key('uploads'), ...ids.filter((_, n) => n !== 5).flatMap((id) => [0, id]))
  const { listUploads, index } = createList({ maxIds: 25, pageSize: 10 })
  assert.equal(idsOf(await listUploads(owner, { limit: 20 })), ids.slice(0, 20))
  await until(async () => ((await index.known(owner))?.from ?? '~') <= (ids[24] ?? ''))
})

test('a list of which Redis has nothing responds 503 while S3 cannot be reached', async () => {
  const ids = idsBefore(Date.now(), 2, 1000)
  await putOriginals(ids)
  proxy.intercept((request) => (isListing(request) ? 'refuse' : 'pass'))
  assert.is((await client.get('/uploads')).status, 503)
  proxy.intercept(() => 'pass')
  await createList().listUploads(owner, { limit: 3 })
  await api.redis.set(key('listed'), '1 ')
  proxy.intercept((request) => (isListing(request) ? 'refuse' : 'pass'))
  const page = await list()
  assert.equal(idsOf(page), ids)
  assert.is(page.nextCursor, ids[1])
})

test.run()
