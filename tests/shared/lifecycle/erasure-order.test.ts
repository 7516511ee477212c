import { ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { createImportQueue } from '@millrace/shared/jobs/import-upload-job.ts'
import { erasureKey, originalKey, variantKey } from '@millrace/shared/ledger/object-keys.ts'
import { createEraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { createIsErased } from '@millrace/shared/lifecycle/is-erased.ts'
import { createTellErasure } from '@millrace/shared/lifecycle/tell-erasure.ts'
import { createQuotaReservations } from '@millrace/shared/quotas/quota-reservations.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { WebhookEvent } from '@millrace/shared/webhooks/webhook-event.ts'
import { createFinishUpload, type Outcome } from '@millrace/worker/processing/finish-upload.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { createSteppedS3, once } from '../../worker/support/stepped-s3.ts'
import { startWorkerFleet, type WorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('order of an erasure')
const file = Buffer.from('just text')
let fleet: WorkerFleet
/** The client of the process that erases. */
let stepped: ReturnType<typeof createSteppedS3>
let imports: ReturnType<typeof createImportQueue>

test.before(async () => {
  fleet = await startWorkerFleet()
  imports = createImportQueue(fleet)
  worker = createTestLifecycle({ ...fleet, hasCdn: true }, quota)
})
test.before.each(() => {
  stepped = createSteppedS3({ endpoint: fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '', ...fleet.identity })
})
test.after.each(() => stepped.close())
test.after(async () => {
  await imports.close()
  await fleet.close()
})

const quota = { filesTotal: 100 }
const dayMs = 24 * 60 * 60 * 1000
/** What another process uses, such as a worker. */
let worker: ReturnType<typeof createTestLifecycle>

/** Erases as an API instance does, with the stepped client. */
function createErase() {
  const lifecycle = createTestLifecycle({ ...fleet, s3: stepped.s3, hasCdn: true }, quota)
  return createEraseUpload({ ...lifecycle, queue: fleet.queue, imports })
}

/** A file that was announced and has arrived, with a job that waits. */
async function arrive(): Promise<UploadAddress & { etag: string }> {
  const { receiveUpload, quota } = worker
  const address = await fleet.announce(file)
  await quota.reserve(address, file.length, Date.now() + 60_000)
  await fleet.arrive(file, address)
  const received = await receiveUpload(address)
  return { ...address, etag: received?.upload.arrival?.etag ?? '' }
}

/** Finishes an upload as a worker does whose job ends. */
async function endJob(address: UploadAddress, upload: Upload): Promise<void> {
  const { arrival } = upload
  if (!arrival) throw new Error('The upload has no bytes.')
  const key = variantKey(address, { version: 'v', name: 'w', sha256: 'ab12', extension: 'webp' })
  await fleet.s3.send(new PutObjectCommand({ Bucket: fleet.bucket, Key: key, Body: 'x' }))
  const outcome: Outcome = { outcome: 'ready', recipe: 'r', findings: {}, variants: [] }
  await createFinishUpload(worker).finish(upload, arrival, outcome, undefined)
}

async function uploadOf(address: UploadAddress): Promise<Upload> {
  const found = await fleet.records.find(address)
  if (!found) throw new Error('There is no record.')
  return found.upload
}

/** What S3 has of an upload, in all versions, besides a withdrawal. */
async function keysOf({ id }: UploadAddress): Promise<string[]> {
  const { Versions = [] } = await fleet.s3.send(new ListObjectVersionsCommand({ Bucket: fleet.bucket }))
  return Versions.map(({ Key = '' }) => Key).filter(
    (key) => key.includes(id) && !key.startsWith('withdrawn/'),
  )
}

async function holdsQuota({ owner, id }: UploadAddress): Promise<boolean> {
  const { redis, prefix } = fleet
  return (await createQuotaReservations({ redis, prefix }).overdue(owner, dayMs + Date.now(), 64)).includes(
    id,
  )
}

const marks = ({ name, key }: { name: string; key: string }) =>
  name === 'PutObject' && key.startsWith('erasures/')
const deletes = ({ name }: { name: string }) => name === 'DeleteObjects'

test('an erasure whose marker S3 refuses changes nothing: the upload, its job and its bytes are as before', async () => {
  const job = await arrive()
  stepped.before((command) => {
    if (marks(command)) throw new Error('S3 is unavailable')
  })
  const error: unknown = await createErase()(job).catch((thrown: unknown) => thrown)
  assert.match(String(error), 'S3 is unavailable')
  assert.is((await fleet.records.find(job))?.upload.state, 'received')
  assert.equal(await fleet.queue.states([job]), ['queued'])
  assert.equal(await keysOf(job), [originalKey(job)])
})

test('nothing is deleted before the marker is in S3', async () => {
  const job = await arrive()
  await createErase()(job)
  const writes = stepped.sent.filter(({ name }) => /^(Put|Delete|Abort)/.test(name))
  assert.equal(writes[0], { name: 'PutObject', key: erasureKey(job) })
  assert.equal(await keysOf(job), [erasureKey(job)])
})

test('a job that ends between the marker and the deletion does not bring the upload back', async () => {
  const job = await arrive()
  const upload = await uploadOf(job)
  stepped.after(once(marks, () => endJob(job, upload)))
  await createErase()(job)
  assert.equal(await keysOf(job), [erasureKey(job)])
  assert.is(await worker.lookup.find(job), undefined)
})

test('a job that ends between the listing and the deletion does not bring the upload back', async () => {
  const job = await arrive()
  const upload = await uploadOf(job)
  stepped.before(once(deletes, () => endJob(job, upload)))
  await createErase()(job)
  assert.equal(await keysOf(job), [erasureKey(job)])
})

test('an event between the marker and the deletion adds no job, and the bytes are gone', async () => {
  const job = await arrive()
  stepped.after(once(marks, () => worker.receiveUpload(job)))
  await createErase()(job)
  assert.equal(await fleet.queue.states([job]), ['missing'])
  assert.equal(await keysOf(job), [erasureKey(job)])
})

test('an erasure that S3 interrupts is unverified and holds its quota, and the event of its marker finishes it', async () => {
  const job = await arrive()
  assert.is(await holdsQuota(job), true)
  stepped.before((command) => {
    if (deletes(command)) throw new Error('S3 is unavailable')
  })
  const error: unknown = await createErase()(job).catch((thrown: unknown) => thrown)
  assert.match(String(error), 'S3 is unavailable')
  assert.is(await fleet.records.isErasureVerified(job), false)
  assert.is(await holdsQuota(job), true, 'its bytes are still there')
  await worker.finishErasure(job)
  assert.is(await holdsQuota(job), false)
  assert.is(await fleet.records.isErasureVerified(job), true)
})

test('variants are withdrawn from a CDN before they are deleted', async () => {
  const job = await arrive()
  await endJob(job, await uploadOf(job))
  const { withdrawals } = worker
  const known: boolean[] = []
  stepped.before(once(deletes, async () => known.push((await withdrawals.read(job)) !== undefined)))
  await createErase()(job)
  assert.equal(known, [true])
})

test('bytes that come after a verified erasure are erased by their event, and are no other erasure', async () => {
  const job = await arrive()
  await createErase()(job)
  assert.is(await fleet.records.isErasureVerified(job), true)
  await fleet.arrive(file, job)
  assert.is(await worker.receiveUpload(job), undefined)
  assert.equal(await keysOf(job), [erasureKey(job)])
})

test('an upload that is erased in Redis alone while it is checked is erased in S3 too', async () => {
  const address = await fleet.arrive(file)
  const { checkUpload } = createTestLifecycle({ ...fleet, s3: stepped.s3 })
  // An older version of Millrace erases in Redis only.
  stepped.after(
    once(
      ({ key }) => key.startsWith('manifests/'),
      () => fleet.records.erase(address),
    ),
  )
  assert.is(await checkUpload(address), undefined)
  assert.equal(await keysOf(address), [])
})

test('a record of an earlier epoch is no proof that its upload was not erased', async () => {
  const address = { owner: 's-tester', id: newUploadId() }
  const isErased = (isChecked: boolean, isMarked: boolean) =>
    createIsErased({
      records: {
        ...fleet.records,
        find: async () => ({ upload: uploadWith(address), revision: 1, isChecked }),
      },
      erasures: { ...worker.erasures, isMarked: async () => isMarked },
    })(address)
  assert.is(await isErased(false, true), true)
  assert.is(await isErased(false, false), false)
  assert.is(await isErased(true, true), false, 'a checked record costs no request')
})

test('an erasure is told once, by the region that erases, and only of an upload that had arrived', async () => {
  const address = { owner: 'acme', id: newUploadId() }
  const tell = async (options: { isVerified?: boolean; isCopy?: boolean; keys?: string[] }) => {
    const { isVerified = false, isCopy = false, keys = [originalKey(address)] } = options
    const told: string[] = []
    const event: WebhookEvent = {
      version: 1,
      id: 'evt_1',
      type: 'upload.deleted',
      tenantKey: tenantKey('acme'),
      owner: 'acme',
      at: '',
      upload: { id: address.id, state: 'deleted' },
    }
    await createTellErasure({
      records: { isErasureVerified: async () => isVerified },
      erasures: { find: async () => ({ markedAt: '2026-01-01T00:00:00.000Z', isCopy }) },
      outbox: {
        isWanted: async () => true,
        add: async ({ type, at }) => {
          told.push(`add ${type} ${at}`)
          return event
        },
        announce: async ({ type }) => {
          told.push(`announce ${type}`)
        },
      },
    })(address, keys)
    return told
  }
  assert.equal(await tell({}), ['add upload.deleted 2026-01-01T00:00:00.000Z', 'announce upload.deleted'])
  assert.equal(await tell({ isVerified: true }), [], 'what was written late is no other erasure')
  assert.equal(await tell({ isCopy: true }), [])
  assert.equal(await tell({ keys: ['variants/acme/x'] }), [])
})

function uploadWith(address: UploadAddress): Upload {
  const at = new Date(0).toISOString()
  const intent = { filename: 'a', contentType: 'text/plain', size: 1, preset: 'default' }
  return { ...address, state: 'received', intent, findings: {}, variants: [], createdAt: at, updatedAt: at }
}

test.run()
