import { randomBytes } from 'node:crypto'
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createQuotaReservations } from '@millrace/shared/quotas/quota-reservations.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { sampleImage } from '../support/sample-images.ts'
import { watchSqs } from '../support/watch-sqs.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('a file that is sent again')
const PRESETS_FILE = new URL('./image-presets.json', import.meta.url).pathname
let fleet: WorkerFleet

let sqs: ReturnType<typeof watchSqs>

test.before(async () => {
  // Messages of finished uploads are deleted after a twentieth of the lease.
  fleet = await startWorkerFleet({ environment: { ARRIVAL_LEASE_MS: '3000' } })
})
test.before.each(() => {
  sqs = watchSqs(fleet.sqs)
})
test.after.each(() => fleet.closeWorkers())
test.after(() => fleet.close())

/** Returns the versions of an original in S3, oldest first. */
async function versionsOf(address: UploadAddress) {
  const { Versions = [], DeleteMarkers = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: originalKey(address) }),
  )
  assert.equal(DeleteMarkers, [])
  return Versions.map(({ VersionId }) => VersionId).reverse()
}

async function stored(address: UploadAddress) {
  const found = await fleet.records.find(address)
  assert.ok(found)
  return found.upload
}

/** An owner without uploads. */
const newOwner = () => ({ owner: `s-${randomBytes(4).toString('hex')}` })

/** A file without variants, which needs no decoder. */
const plain = Buffer.from('just text')

/** Files of the same size, since a form fixes it. */
const others = (count: number) => Array.from({ length: count }, () => randomBytes(100))

test('identical bytes cost no job, and S3 keeps the version that is served', async () => {
  await fleet.startWorker()
  const bytes = await sampleImage('image/png', 40, 30)
  const address = await fleet.arrive(bytes)
  const ready = await fleet.finished(address)
  for (let i = 0; i < 10; i++) await fleet.arrive(bytes, address)
  await sqs.deleted(11)
  assert.equal(fleet.changes.states(address.id), ['received', 'processing', 'ready'])
  assert.equal(await stored(address), ready)
  assert.equal(await versionsOf(address), [ready.arrival?.versionId])
  assert.equal((await fleet.manifests.read(address))?.arrival, ready.arrival)
})

test('identical bytes that are sent before a worker is there, and handled by two workers, are one file', async () => {
  const address = await fleet.arrive(plain)
  await Promise.all(Array.from({ length: 19 }, () => fleet.arrive(plain, address)))
  await fleet.startWorker()
  await fleet.startWorker()
  await sqs.deleted(20)
  const upload = await stored(address)
  assert.is(upload.state, 'ready')
  assert.equal(await versionsOf(address), [upload.arrival?.versionId])
  assert.equal((await fleet.manifests.read(address))?.arrival, upload.arrival)
})

test('a few versions of the same bytes stay until the upload is finished, and then one', async () => {
  const address = await fleet.arrive(plain)
  await fleet.arrive(plain, address)
  await fleet.arrive(plain, address)
  assert.is((await versionsOf(address)).length, 3)
  await fleet.startWorker()
  await sqs.deleted(3)
  const { arrival } = await stored(address)
  assert.equal(await versionsOf(address), [arrival?.versionId])
  assert.equal((await fleet.manifests.read(address))?.arrival, arrival)
})

test('identical bytes are recognised after Redis lost the record', async () => {
  await fleet.startWorker()
  const address = await fleet.arrive(plain)
  const { arrival } = await fleet.finished(address)
  await sqs.deleted(1)
  await fleet.redis.del(...(await fleet.redis.keys(`${fleet.prefix}:{${address.owner}}:*`)))
  await fleet.arrive(plain, address)
  await sqs.deleted(2)
  assert.equal([(await stored(address)).state, (await stored(address)).arrival], ['ready', arrival])
  assert.equal(await versionsOf(address), [arrival?.versionId])
  assert.equal(fleet.changes.states(address.id).filter((state) => state === 'processing').length, 1)
})

test('other bytes replace a file twice, and further ones are deleted without a job', async () => {
  await fleet.startWorker()
  const [first = Buffer.of(), ...further] = others(8)
  const address = await fleet.arrive(first)
  await fleet.finished(address)
  for (const [i, bytes] of further.entries()) {
    await fleet.arrive(bytes, address)
    await sqs.deleted(i + 2)
  }
  const upload = await stored(address)
  assert.is(upload.state, 'ready')
  const versions = await versionsOf(address)
  assert.equal([versions.length, versions.at(-1)], [3, upload.arrival?.versionId])
  assert.is(fleet.changes.states(address.id).filter((state) => state === 'processing').length, 3)
  assert.is(upload.findings.sha256, (await fleet.manifests.read(address))?.findings.sha256)
  assert.equal(await fleet.object(originalKey(address)), further[1])
})

test('twenty different files that are sent before a worker is there leave three versions at most', async () => {
  const files = others(20)
  const address = await fleet.arrive(files[0] ?? Buffer.of())
  for (const bytes of files.slice(1)) await fleet.arrive(bytes, address)
  await fleet.startWorker()
  await fleet.startWorker()
  await sqs.deleted(20)
  const upload = await stored(address)
  assert.is(upload.state, 'ready')
  const versions = await versionsOf(address)
  assert.ok(versions.length <= 3, `${versions.length} versions`)
  assert.is(versions.at(-1), upload.arrival?.versionId)
  assert.equal((await fleet.manifests.read(address))?.arrival, upload.arrival)
  const jobs = fleet.changes.states(address.id).filter((state) => state === 'processing')
  assert.ok(jobs.length <= 4, `${jobs.length} jobs`)
})

test('twenty files that are sent at once, some identical, end as one of them while two workers run', async () => {
  await fleet.startWorker()
  await fleet.startWorker()
  const files = others(10)
  const address = await fleet.arrive(files[0] ?? Buffer.of())
  await Promise.all([...files, ...files].slice(1).map((bytes) => fleet.arrive(bytes, address)))
  await sqs.deleted(20)
  const upload = await stored(address)
  assert.is(upload.state, 'ready')
  const versions = await versionsOf(address)
  assert.ok(versions.length <= 3, `${versions.length} versions`)
  assert.is(versions.at(-1), upload.arrival?.versionId)
  assert.equal((await fleet.manifests.read(address))?.arrival, upload.arrival)
})

test('other bytes that exceed the quota are deleted, and the first file stays as it is', async () => {
  await fleet.startWorker({ environment: { QUOTA_BYTES_TOTAL: '250' } })
  const [first = Buffer.of(), second = Buffer.of(), third = Buffer.of()] = others(3)
  const address = await fleet.arrive(first, newOwner())
  const { quota } = createTestLifecycle(fleet, { bytesTotal: 250 })
  await quota.reserve(address, 100, Date.now())
  await fleet.finished(address)
  await fleet.arrive(second, address)
  await sqs.deleted(2)
  assert.is(await usedBytes(address), 200)

  const before = fleet.changes.states(address.id).length
  await fleet.arrive(third, address)
  await sqs.deleted(3)
  assert.is(fleet.changes.states(address.id).length, before, 'the upload did not change')
  assert.equal(await fleet.object(originalKey(address)), second)
  assert.is((await versionsOf(address)).length, 2)
  assert.is(await usedBytes(address), 200)
})

async function usedBytes({ owner }: UploadAddress): Promise<number> {
  return Number(await fleet.redis.hget(`${fleet.prefix}:{${owner}}:quota`, 'bytes'))
}

test('erasing an upload releases the quota of all its versions', async () => {
  await fleet.startWorker({ environment: { QUOTA_BYTES_TOTAL: '1000' } })
  const [first = Buffer.of(), second = Buffer.of()] = others(2)
  const address = await fleet.arrive(first, newOwner())
  const { quota, finishErasure, erasures } = createTestLifecycle(fleet, { bytesTotal: 1000 })
  await quota.reserve(address, 100, Date.now())
  await fleet.finished(address)
  await fleet.arrive(second, address)
  await sqs.deleted(2)
  assert.is(await usedBytes(address), 200)
  await erasures.mark(address)
  await finishErasure(address)
  assert.is(await usedBytes(address), 0)
})

test('what a replaced file holds of the quota is released without the upload', async () => {
  await fleet.startWorker({ environment: { QUOTA_BYTES_TOTAL: '250' } })
  const [first = Buffer.of(), second = Buffer.of()] = others(2)
  const address = await fleet.arrive(first, newOwner())
  const { quota } = createTestLifecycle(fleet, { bytesTotal: 250 })
  await quota.reserve(address, 100, Date.now())
  await fleet.finished(address)
  await fleet.arrive(second, address)
  await sqs.deleted(2)
  const reservations = createQuotaReservations({ redis: fleet.redis, prefix: fleet.prefix })
  const countOverdue = async (days: number) => {
    const ids = await reservations.overdue(address.owner, Date.now() + days * 24 * 60 * 60 * 1000, 10)
    return ids.filter((id) => id !== address.id).length
  }
  // S3 deletes a replaced version after a day, and may take another one.
  assert.equal([await countOverdue(1.9), await countOverdue(3)], [0, 1])
})

test('a replacement that is rejected is deleted, and the first file stays ready', async () => {
  await fleet.startWorker({ environment: { PRESETS_FILE } })
  const png = await sampleImage('image/png', 40, 30)
  const text = Buffer.alloc(png.length, 'a')
  const address = await fleet.arrive(png, { preset: 'photo' })
  const ready = await fleet.finished(address)
  await fleet.arrive(text, { ...address, preset: 'photo' })
  await sqs.deleted(2)
  const after = await stored(address)
  assert.equal({ ...after, updatedAt: '' }, { ...ready, updatedAt: '' })
  assert.equal(await versionsOf(address), [ready.arrival?.versionId])
  const manifest = await fleet.manifests.read(address)
  assert.equal(
    [manifest?.outcome, manifest?.arrival, manifest?.discarded?.length],
    ['ready', ready.arrival, 1],
  )
  const sizes = await Promise.all(after.variants.map(async ({ key }) => (await fleet.object(key)).length))
  assert.equal(
    sizes,
    ready.variants.map(({ size }) => size),
  )
  assert.is(sizes.length, 1)
})

test('bytes that are rejected again and again cost three jobs, also after Redis lost the record', async () => {
  await fleet.startWorker({ environment: { PRESETS_FILE } })
  const address = await fleet.arrive(Buffer.alloc(100, 'a'), { preset: 'photo' })
  for (let i = 1; i <= 5; i++) {
    await sqs.deleted(i)
    if (i === 4) await fleet.redis.del(...(await fleet.redis.keys(`${fleet.prefix}:{${address.owner}}:*`)))
    await fleet.arrive(Buffer.alloc(100, String(i)), { ...address, preset: 'photo' })
  }
  await sqs.deleted(6)
  assert.is((await stored(address)).state, 'rejected')
  assert.equal(await versionsOf(address), [])
  assert.is(fleet.changes.states(address.id).filter((state) => state === 'processing').length, 3)
})

test.run()
