import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { createImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import { erasureKey, manifestKey } from '@millrace/shared/ledger/object-keys.ts'
import { createEraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('a Redis that lost data')
let directory: string
let redisServer: RedisServer
let fleet: WorkerFleet
let proxy: S3Proxy
/** A client through the proxy. */
let proxiedS3: S3Client
let png: Buffer

test.before(async () => {
  png = await sampleImage('image/png')
  directory = await mkdtemp(join(tmpdir(), 'millrace-damaged-'))
  redisServer = await startRedisServer({ directory })
  fleet = await startWorkerFleet({ redisUrl: redisServer.url })
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  proxiedS3 = new S3Client({ endpoint: proxy.endpoint, ...fleet.identity, maxAttempts: 1 })
})
test.after.each(() => fleet.reset())
test.after(async () => {
  await fleet.close()
  proxiedS3.destroy()
  await proxy.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

/** What S3 has of an upload, in all versions. */
async function keysOf({ id }: UploadAddress): Promise<string[]> {
  const { Versions = [] } = await fleet.s3.send(new ListObjectVersionsCommand({ Bucket: fleet.bucket }))
  return Versions.map(({ Key = '' }) => Key).filter((key) => key.includes(id))
}

async function erase(address: UploadAddress): Promise<void> {
  const imports = createImportQueue(fleet)
  const eraseUpload = createEraseUpload({ ...createTestLifecycle(fleet), queue: fleet.queue, imports })
  await eraseUpload(address)
  await imports.close()
}

/** Begins a new epoch, as a failover does: Redis has records, but maybe not the latest. */
async function beginEpoch(): Promise<void> {
  await fleet.redis.hset(`${fleet.prefix}:epoch`, 'runId', 'of the server before')
}

test('an upload that is erased while it is processed stays erased, although Redis loses the erasure', async () => {
  const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/manifests/'))
  const worker = await fleet.startWorker({ s3: proxiedS3 })
  const address = await fleet.arrive(png)
  await held.arrived
  // The worker handles the marker's event first, so that it does not hide what is tested.
  const handled = fleet.changes.untilErased(address.id)
  await createTestLifecycle(fleet).erasures.mark(address)
  await handled
  await erase(address)
  await fleet.redis.flushall()
  held.release()
  await worker.close()
  assert.equal(await keysOf(address), [erasureKey(address)])
  assert.is(await createTestLifecycle(fleet).lookup.find(address), undefined)
})

test('a worker finishes an erasure whose API instance died after the marker', async () => {
  const address = await fleet.arrive(png)
  const worker = await fleet.startWorker()
  await fleet.finished(address)
  const lifecycle = createTestLifecycle(fleet)
  const erased = fleet.changes.untilErased(address.id)
  await lifecycle.erasures.mark(address)
  await erased
  await worker.close()
  assert.equal(await keysOf(address), [erasureKey(address)])
  assert.is(await lifecycle.records.find(address), undefined)
})

test('bytes that are sent after the erasure are erased, although Redis lost the erasure', async () => {
  const address = await fleet.announce(png)
  await erase(address)
  await fleet.redis.flushall()
  await fleet.arrive(png, address)
  const { receiveUpload } = createTestLifecycle(fleet)
  assert.is(await receiveUpload(address), undefined)
  assert.equal(await keysOf(address), [erasureKey(address)])
  assert.equal(await fleet.queue.counts(), {
    waiting: 0,
    prioritized: 0,
    active: 0,
    delayed: 0,
    failed: 0,
    oldestAddedAt: undefined,
  })
})

test('a record that a failover took back to "awaiting" is corrected by S3 when it is read', async () => {
  const address = await fleet.announce(png)
  const announced = await fleet.redis.dumpBuffer(`${fleet.prefix}:{${address.owner}}:upload:${address.id}`)
  const worker = await fleet.startWorker()
  await fleet.arrive(png, address)
  const finished = await fleet.finished(address)
  await worker.close()
  await fleet.redis.restore(
    `${fleet.prefix}:{${address.owner}}:upload:${address.id}`,
    0,
    announced,
    'REPLACE',
  )
  await beginEpoch()
  const { lookup, records } = createTestLifecycle(fleet)
  assert.not.ok((await records.find(address))?.isChecked)
  const found = await lookup.find(address)
  assert.equal({ ...found?.upload, updatedAt: '' }, { ...finished, updatedAt: '' })
  assert.ok((await records.find(address))?.isChecked)
})

test('a record that a failover brought back after the erasure is deleted when it is read', async () => {
  const worker = await fleet.startWorker()
  const address = await fleet.arrive(Buffer.from('text'))
  await fleet.finished(address)
  await worker.close()
  const key = `${fleet.prefix}:{${address.owner}}:upload:${address.id}`
  const record = await fleet.redis.dumpBuffer(key)
  await erase(address)
  await fleet.redis.del(`${fleet.prefix}:{${address.owner}}:erased:${address.id}`)
  await fleet.redis.restore(key, 0, record, 'REPLACE')
  await beginEpoch()
  const { lookup, records } = createTestLifecycle(fleet)
  assert.is(await lookup.find(address), undefined)
  assert.is(await records.find(address), undefined)
  assert.ok(await records.isErased(address))
})

test('a check deletes rejected bytes whose worker died after the manifest', async () => {
  const address = await fleet.arrive(png)
  const { lookup, manifests, originals } = createTestLifecycle(fleet)
  const original = await originals.find(address)
  assert.ok(original)
  const { arrival, intent } = original
  const now = new Date().toISOString()
  const result = { recipe: 'r', findings: {}, variants: [], createdAt: now, finishedAt: now }
  const error = { code: 'type_not_allowed', message: 'not allowed' }
  const manifest = { version: 1 as const, ...address, outcome: 'rejected' as const, intent, arrival, error }
  await manifests.write({ ...manifest, ...result }, undefined)
  assert.is((await lookup.find(address))?.upload.state, 'rejected')
  assert.equal(await keysOf(address), [manifestKey(address)])
  assert.is((await fleet.queue.counts()).prioritized, 0)
})

test('a lookup adds the job of an arrival that Redis forgot', async () => {
  const address = await fleet.arrive(png)
  const { lookup } = createTestLifecycle(fleet)
  assert.is((await lookup.find(address))?.upload.state, 'received')
  assert.is((await fleet.queue.counts()).prioritized, 1)
})

test('an upload that was announced and never sent no longer exists an hour after it expired', async () => {
  const address = await fleet.announce(png)
  const expiresAt = (ms: number) => new Date(Date.now() + ms).toISOString()
  const { lookup, records } = createTestLifecycle(fleet)
  const hourMs = 3_600_000
  await records.update(address, (current) => ({ ...current, expiresAt: expiresAt(-0.9 * hourMs) }))
  assert.is((await lookup.find(address))?.upload.state, 'awaiting')
  await records.update(address, (current) => ({ ...current, expiresAt: expiresAt(-1.1 * hourMs) }))
  const erased = fleet.changes.untilErased(address.id)
  assert.is(await lookup.find(address), undefined)
  await erased
})

test.run()
