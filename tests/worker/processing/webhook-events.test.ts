import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { createReprocessUpload } from '@millrace/api/uploads/reprocess-upload.ts'
import { createImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import { hasEvent } from '@millrace/shared/ledger/manifest.ts'
import { manifestKey, unfinishedKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { createEraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { defaultPreset, type Preset } from '@millrace/shared/presets/preset.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { WebhookEvent } from '@millrace/shared/webhooks/webhook-event.ts'
import { createFinishUpload, type Outcome } from '@millrace/worker/processing/finish-upload.ts'
import * as assert from 'uvu/assert'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { sampleImage } from '../support/sample-images.ts'
import { openOutbox, webhookOf } from '../support/webhooks.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('events for webhooks')
const owner = 'acme'
const tiny: Preset = {
  name: 'tiny',
  variants: [{ name: 'icon', fit: 'cover', width: 16, height: 16, format: 'png', quality: 80 }],
}
const text = Buffer.from('just text')
let fleet: WorkerFleet
let here: ReturnType<typeof openOutbox>
let proxy: S3Proxy
/** The worker's client. It tries nothing again, so that a request that fails ends the attempt, as a crash does. */
let workerS3: S3Client

test.before(async () => {
  fleet = await startWorkerFleet({ environment: { PRESETS: JSON.stringify([tiny]) } })
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  workerS3 = new S3Client({ endpoint: proxy.endpoint, ...fleet.identity, maxAttempts: 1 })
  here = openOutbox(fleet)
  await here.webhooks.create(webhookOf(owner, '1'))
  await fleet.startWorker({ s3: workerS3 })
})
test.before.each(() => proxy.intercept(() => 'pass'))
test.after(async () => {
  await fleet.close()
  workerS3.destroy()
  await proxy.close()
})

const writesManifest = ({ method, path }: SeenRequest) => method === 'PUT' && path.includes('/manifests/')
const deletes = ({ method, path }: SeenRequest) => method === 'POST' && path.includes('delete')
const writesEvent = ({ method, path }: SeenRequest) => method === 'PUT' && path.includes('/outbox/')

async function eventsOf({ id }: UploadAddress): Promise<WebhookEvent[]> {
  return here.outbox.listOfUpload(tenantKey(owner), id)
}
async function typesOf(address: UploadAddress): Promise<string[]> {
  return (await eventsOf(address)).map(({ type }) => type)
}

/** Whether the manifest in S3 names each event, in their order. Only these happened. */
async function happened(address: UploadAddress): Promise<boolean[]> {
  const manifest = await fleet.manifests.read(address)
  return (await eventsOf(address)).map(({ id }) => manifest !== undefined && hasEvent(manifest, id))
}

test("a user's upload is told as received and as ready, with the user's id and without object keys", async () => {
  const user = await here.tenantUsers.record(owner, 'user@example.com')
  const address = await fleet.arrive(await sampleImage('image/png'), {
    owner: user,
    preset: 'tiny',
    metadata: { a: 'b' },
  })
  const upload = await fleet.finished(address)
  const events = await eventsOf(address)
  assert.equal(
    events.map((event) => [event.type, event.owner, event.tenantKey]),
    [
      ['upload.received', user, tenantKey(owner)],
      ['upload.ready', user, tenantKey(owner)],
    ],
  )
  const [received, ready] = events
  assert.equal([received?.upload.state, received?.upload.user], ['received', 'user@example.com'])
  assert.equal(ready?.upload, {
    id: address.id,
    user: 'user@example.com',
    state: 'ready',
    filename: 'photo.jpg',
    contentType: 'image/jpeg',
    size: upload.intent.size,
    preset: 'tiny',
    metadata: { a: 'b' },
    findings: upload.findings,
    variants: upload.variants.map(({ key: _, ...variant }) => variant),
    createdAt: upload.createdAt,
    updatedAt: ready?.upload.updatedAt,
  })
  assert.is((await fleet.manifests.read(address))?.eventId, ready?.id)
})

test('a rejected upload is told with its error', async () => {
  const address = await fleet.arrive(text, { owner, declaredSha256: '0'.repeat(64) })
  await fleet.finished(address)
  const [, rejected] = await eventsOf(address)
  assert.equal(
    [rejected?.type, rejected?.upload.state, rejected?.upload.error?.code],
    ['upload.rejected', 'rejected', 'checksum_mismatch'],
  )
})

test('nothing is written to the outbox for a tenant without webhooks, nor for a session', async () => {
  let writes = 0
  const writesOf = async (owner: string) => {
    writes = 0
    proxy.intercept((seen) => {
      if (writesEvent(seen)) writes++
      return 'pass'
    })
    await fleet.finished(await fleet.arrive(text, { owner }))
    return writes
  }
  assert.equal([await writesOf('quiet'), await writesOf('s-tester'), await writesOf(owner)], [0, 0, 2])
})

test('an event whose manifest was not written is in the outbox, and the manifest does not name it', async () => {
  let writes = 0
  proxy.intercept((seen) => (writesManifest(seen) && ++writes === 1 ? 'fail' : 'pass'))
  const address = await fleet.arrive(text, { owner })
  await fleet.finished(address)
  assert.equal(await typesOf(address), ['upload.received', 'upload.ready', 'upload.ready'])
  assert.equal(await happened(address), [false, false, true])
})

test('a worker that dies after the manifest leaves one event, and the manifest names it', async () => {
  let writes = 0
  proxy.intercept((seen) => (writesManifest(seen) && ++writes === 1 ? 'lose' : 'pass'))
  const address = await fleet.arrive(text, { owner })
  await fleet.finished(address)
  assert.equal(await typesOf(address), ['upload.received', 'upload.ready'])
  assert.equal(await happened(address), [false, true])
})

test('a worker that dies before or after it wrote that an upload was received leaves one such event', async () => {
  for (const action of ['fail', 'lose'] as const) {
    let writes = 0
    proxy.intercept((seen) => (writesEvent(seen) && ++writes === 1 ? action : 'pass'))
    const address = await fleet.arrive(text, { owner })
    await fleet.finished(address)
    assert.equal(await typesOf(address), ['upload.received', 'upload.ready'], action)
    assert.is(writes, 3, action)
  }
})

test('a manifest is not written without its event', async () => {
  let writes = 0
  proxy.intercept((seen) => (writesEvent(seen) && ++writes === 2 ? 'fail' : 'pass'))
  const address = await fleet.arrive(text, { owner })
  await fleet.finished(address)
  assert.equal(await typesOf(address), ['upload.received', 'upload.ready'])
  assert.equal(await happened(address), [false, true])
})

test('an upload that is processed again is told as ready again, not as received', async () => {
  const address = await fleet.arrive(await sampleImage('image/png'), { owner, preset: 'tiny' })
  await fleet.finished(address)
  const { s3, bucket, records, manifests, queue } = fleet
  const presets = new Map([defaultPreset, tiny].map((preset) => [preset.name, preset]))
  const reprocess = createReprocessUpload({
    records,
    originals: createOriginals({ s3, bucket }),
    manifests,
    queue,
    presets,
  })
  const stored = await records.find(address)
  fleet.changes.clear()
  if (!stored) throw new Error('The upload has no record.')
  await reprocess(stored.upload, 'default')
  await fleet.finished(address)
  const types = await typesOf(address)
  const named = await happened(address)
  // The event of a second attempt, which was too late, may not be removed yet: no manifest names it.
  assert.equal(
    types.filter((_, at) => named[at]),
    ['upload.ready', 'upload.ready'],
  )
  assert.is(types.filter((type) => type === 'upload.received').length, 1)
})

test('a replacement that is discarded is told as received, and the upload as ready again', async () => {
  const address = await fleet.arrive(text, { owner })
  await fleet.finished(address)
  fleet.changes.clear()
  await fleet.arrive(Buffer.concat([text, text]), { ...address, size: text.length })
  await fleet.finished(address, 'ready')
  const told = ['upload.received', 'upload.ready']
  assert.equal(await typesOf(address), [...told, ...told])
  assert.equal(await happened(address), [false, true, false, true])
})

/** An upload whose bytes are in S3, and the function with which two attempts of it finish side by side. */
async function openFinish(announce?: (event: WebhookEvent) => Promise<void>) {
  const lifecycle = createTestLifecycle(fleet, {}, announce)
  const { finish } = createFinishUpload(lifecycle)
  const address = await fleet.arrive(text, { owner })
  const finished = await fleet.finished(address)
  // The worker may still hold the message, and would make another job of an upload whose manifest is gone.
  proxy.intercept(({ path }) => (path.includes(address.id) ? 'refuse' : 'pass'))
  await fleet.s3.send(new DeleteObjectCommand({ Bucket: fleet.bucket, Key: manifestKey(address) }))
  for (const event of await eventsOf(address)) await here.outbox.remove(event)
  const { arrival } = finished
  if (!arrival) throw new Error('The upload has no arrival.')
  const processing: Upload = { ...finished, state: 'processing' }
  await lifecycle.records.update(address, () => processing)
  const outcome: Outcome = { outcome: 'ready', recipe: 'r', findings: {}, variants: [] }
  return {
    address,
    lifecycle,
    finish: (as: Outcome['outcome']) => finish(processing, arrival, { ...outcome, outcome: as }, undefined),
  }
}

test('the event of an attempt that was too late is removed', async () => {
  const { address, finish } = await openFinish()
  await finish('ready')
  await finish('failed')
  assert.equal(await typesOf(address), ['upload.ready'])
  assert.equal(await happened(address), [true])
})

test('an event is announced after the record of its upload has the new state', async () => {
  const announced: unknown[] = []
  const { address, finish, lifecycle } = await openFinish(async ({ id, type }) => {
    const stored = await lifecycle.records.find(address)
    const manifest = await lifecycle.manifests.read(address)
    announced.push([type, stored?.upload.state, manifest?.eventId === id])
  })
  await finish('ready')
  assert.equal(announced, [['upload.ready', 'ready', true]])
})

test('an event that cannot be announced harms nothing: it is in the outbox', async () => {
  const { address, finish } = await openFinish(async () => {
    throw new Error('Redis is full')
  })
  assert.is((await finish('ready'))?.outcome, 'ready')
  assert.equal(await happened(address), [true])
})

async function eraser(s3: S3Client) {
  const lifecycle = createTestLifecycle({ ...fleet, s3 })
  const imports = createImportQueue(fleet)
  return {
    erase: createEraseUpload({ ...lifecycle, queue: fleet.queue, imports }),
    erasures: lifecycle.erasures,
    close: () => imports.close(),
  }
}

test('a deletion is told before anything is deleted, and once', async () => {
  const address = await fleet.arrive(text, { owner })
  await fleet.finished(address)
  const api = await startS3Proxy(proxy.endpoint)
  const apiS3 = new S3Client({ endpoint: api.endpoint, ...fleet.identity, maxAttempts: 1 })
  const { erase, close } = await eraser(apiS3)
  // The worker gets the marker's event and deletes too: its deletions are held as the API's are.
  const held = Promise.withResolvers<void>()
  proxy.intercept((seen) => (deletes(seen) ? held.promise.then(() => 'pass') : 'pass'))
  const arrived = Promise.withResolvers<void>()
  api.intercept((seen) => {
    if (deletes(seen)) arrived.resolve()
    return 'pass'
  })
  const erasing = erase(address)
  await arrived.promise
  const [deleted] = (await eventsOf(address)).slice(-1)
  assert.equal([deleted?.type, deleted?.upload], ['upload.deleted', { id: address.id, state: 'deleted' }])
  assert.ok(await fleet.manifests.read(address))
  held.resolve()
  await erasing
  for (const event of await eventsOf(address)) await here.outbox.remove(event)
  await erase(address)
  await fleet.redis.del(`${fleet.prefix}:{${owner}}:erased:${address.id}`)
  await erase(address)
  assert.equal(await typesOf(address), [], 'nothing is told again, even if Redis forgot the erasure')
  await close()
  apiS3.destroy()
  await api.close()
})

test('a worker tells a deletion whose API instance died after the marker', async () => {
  const address = await fleet.arrive(text, { owner })
  await fleet.finished(address)
  const { erasures, close } = await eraser(fleet.s3)
  const erased = fleet.changes.untilErased(address.id)
  const written = Promise.withResolvers<void>()
  proxy.intercept((seen) => {
    if (deletes(seen)) written.resolve()
    return 'pass'
  })
  await erasures.mark(address)
  await erased
  await written.promise
  assert.equal((await typesOf(address)).slice(-1), ['upload.deleted'])
  await close()
})

test('an upload that never arrived is not told as deleted', async () => {
  const address = await fleet.announce(text, {}, owner)
  await fleet.s3.send(
    new PutObjectCommand({ Bucket: fleet.bucket, Key: unfinishedKey(address), Body: 'bytes of tus' }),
  )
  const { erase, close } = await eraser(fleet.s3)
  await erase(address)
  assert.equal(await typesOf(address), [])
  await close()
})

test.run()
