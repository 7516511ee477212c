import { S3Client } from '@aws-sdk/client-s3'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { isFinished } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { watchSqs } from '../support/watch-sqs.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('fairness of uploads', {}, { limitMs: 60_000 })
let fleet: WorkerFleet
let proxy: S3Proxy
let proxiedS3: S3Client
let commands: ReturnType<typeof watchSqs>
let release = () => {}

test.before(async () => {
  const presets = [{ name: 'plain', variants: [] }]
  // Messages of finished uploads are deleted after a twentieth of the lease.
  const environment = { WORKER_SLOTS: '1', PRESETS: JSON.stringify(presets), ARRIVAL_LEASE_MS: '6000' }
  fleet = await startWorkerFleet({ environment })
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  proxiedS3 = new S3Client({ endpoint: proxy.endpoint, ...fleet.identity, maxAttempts: 1 })
})
test.before.each(() => {
  commands = watchSqs(fleet.sqs)
})
test.after.each(async () => {
  release()
  await fleet.reset()
})
test.after(async () => {
  await fleet.close()
  proxiedS3.destroy()
  await proxy.close()
})

/** A file without variants, which needs no decoder. */
const file = Buffer.from('just text')

const writesManifest = ({ method, path }: SeenRequest) => method === 'PUT' && path.includes('/manifests/')

/** Starts a worker with one slot, which a first upload keeps busy until `release`. */
async function startBusyWorker(environment: Record<string, string> = {}): Promise<UploadAddress> {
  const held = proxy.hold(writesManifest)
  release = held.release
  await fleet.startWorker({ s3: proxiedS3, environment })
  const first = await fleet.arrive(file, { owner: 's-many' })
  await held.arrived
  return first
}

async function arriveMany(count: number, owner: string): Promise<UploadAddress[]> {
  const addresses: UploadAddress[] = []
  for (let i = 0; i < count; i++) addresses.push(await fleet.arrive(file, { owner }))
  return addresses
}

/** Waits until all uploads are finished, and returns their owners in the order in which they were processed. */
async function processingOrder(addresses: UploadAddress[]): Promise<string[]> {
  for (const address of addresses) await fleet.finished(address)
  const started = await Promise.all(addresses.map((address) => fleet.finished(address, 'processing')))
  return started
    .sort((a, b) => a.updatedAt.localeCompare(b.updatedAt))
    .map(({ owner }) => owner.replace('s-', ''))
}

test("a single file is processed next, in front of another owner's backlog", async () => {
  const first = await startBusyWorker()
  const many = await arriveMany(12, 's-many')
  await commands.handled(1 + many.length)
  const [single] = await arriveMany(1, 's-single')
  assert.ok(single)
  await commands.handled(2 + many.length)
  release()
  const order = await processingOrder([first, ...many, single])
  assert.equal(order.slice(0, 3), ['many', 'single', 'many'])
})

test('two owners with backlogs are processed in turns', async () => {
  const first = await startBusyWorker()
  const many = await arriveMany(6, 's-many')
  await commands.handled(7)
  const others = await arriveMany(6, 's-other')
  await commands.handled(13)
  release()
  const order = (await processingOrder([first, ...many, ...others])).slice(1)
  for (let turn = 0; turn < 6; turn++) {
    assert.equal(order.slice(2 * turn, 2 * turn + 2).sort(), ['many', 'other'], order.join())
  }
})

test('an owner with more uploads than the queue takes leaves room for other owners', async () => {
  const first = await startBusyWorker({ MAX_QUEUED_JOBS: '60' })
  // More than the queue takes. A worker handles ten messages at once, so up to nine jobs are added above the share.
  const many = await arriveMany(70, 's-many')
  await commands.handled(71)
  const [single] = await arriveMany(1, 's-single')
  assert.ok(single)
  await fleet.changes.until(single.id, ({ state }) => state === 'received')
  const { prioritized, active } = await fleet.queue.counts()
  assert.is(active, 1)
  // Its share is four fifths of what does not run: 48 jobs.
  assert.ok(prioritized >= 48 && prioritized < 59, `${prioritized} jobs wait`)
  release()
  const order = await processingOrder([first, ...many, single])
  assert.is(order[1], 'single', order.join())
  await commands.deleted(72)
  assert.equal(new Set(commands.receives()), new Set([1]))
})

test('uploads that are processed again come after all new uploads, whoever they belong to', async () => {
  const old = await arriveMany(3, 's-old')
  const first = await startBusyWorker()
  release()
  for (const address of [...old, first]) await fleet.finished(address)
  // A message that is still held would add an ordinary job.
  await commands.deleted(4)
  fleet.changes.clear()
  const held = proxy.hold(writesManifest)
  release = held.release
  const blocking = await fleet.arrive(file, { owner: 's-many' })
  await held.arrived
  for (const address of old) {
    const original = await createOriginals(fleet).find(address)
    const stored = await fleet.records.update(address, (current) =>
      isFinished(current)
        ? { ...current, state: 'received', intent: { ...current.intent, preset: 'plain' } }
        : undefined,
    )
    const etag = original?.arrival.etag ?? ''
    await fleet.queue.add({ ...address, etag }, { revision: stored?.revision, isBackfill: true })
  }
  const fresh = await arriveMany(4, 's-many')
  await commands.handled(old.length + 2 + fresh.length)
  release()
  const order = await processingOrder([blocking, ...fresh, ...old])
  assert.equal(order, ['many', 'many', 'many', 'many', 'many', 'old', 'old', 'old'])
})

test.run()
