import {
  AbortMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListObjectVersionsCommand,
} from '@aws-sdk/client-s3'
import { createUploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { erasureKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createRemoveRejectedBytes } from '@millrace/shared/lifecycle/remove-rejected-bytes.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createFinishUpload, type Outcome } from '@millrace/worker/processing/finish-upload.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { createSteppedS3, once } from '../../worker/support/stepped-s3.ts'
import { startWorkerFleet, type WorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('receiving and checking uploads')
let fleet: WorkerFleet
/** The client of the tested process. */
let stepped: ReturnType<typeof createSteppedS3>
let tested: ReturnType<typeof createTestLifecycle>
/** What another process uses at the same time. */
let other: ReturnType<typeof createTestLifecycle>

test.before(async () => {
  fleet = await startWorkerFleet()
  stepped = createSteppedS3({ endpoint: fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '', ...fleet.identity })
  tested = createTestLifecycle({ ...fleet, s3: stepped.s3 })
  other = createTestLifecycle(fleet)
})
test.before.each(() => {
  stepped.before(() => undefined)
  stepped.after(() => undefined)
})
test.after(async () => {
  stepped.close()
  await fleet.close()
})

const bytes = (text: string) => Buffer.from(text)

async function uploadOf(address: UploadAddress): Promise<Upload> {
  const found = await fleet.records.find(address)
  if (!found) throw new Error('There is no record.')
  return found.upload
}

/** Finishes an upload as a worker does. */
async function finish(address: UploadAddress): Promise<void> {
  const upload = await uploadOf(address)
  if (!upload.arrival) throw new Error('The upload has no bytes.')
  const outcome: Outcome = { outcome: 'ready', recipe: 'r', findings: {}, variants: [] }
  await createFinishUpload(other).finish(upload, upload.arrival, outcome, undefined)
}

/** Takes the job of an upload out of the queue, as a worker that finished it. @returns whether there was one */
async function takeJob(address: UploadAddress, etag: string): Promise<boolean> {
  const [state] = await fleet.queue.states([{ id: address.id, etag }])
  await fleet.queue.remove({ ...address, etag })
  return state === 'queued'
}

/** A new epoch begins, as after a failover: no record counts as checked. */
async function beginEpoch(): Promise<void> {
  await fleet.redis.hset(`${fleet.prefix}:epoch`, 'runId', `of the server before ${Math.random()}`)
}

test('an event after a failover believes S3 and not the record: an erased upload stays erased', async () => {
  const address = await fleet.arrive(bytes('one'))
  const received = await other.receiveUpload(address)
  await other.erasures.mark(address)
  await beginEpoch()
  // A new process: the epoch is read once in a while.
  const lifecycle = createTestLifecycle(fleet)
  assert.not.ok((await lifecycle.records.find(address))?.isChecked)
  assert.is(await lifecycle.receiveUpload(address), undefined)
  const { Versions = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: originalKey(address) }),
  )
  assert.equal(Versions, [], erasureKey(address))
  assert.is(await takeJob(address, received?.upload.arrival?.etag ?? ''), true)
})

test('an event whose bytes are replaced while S3 is asked does not set the record of the newer ones back', async () => {
  const address = await fleet.announce(bytes('first'))
  await fleet.arrive(bytes('first'), address)
  stepped.after(
    once(
      ({ name, key }) => name === 'HeadObject' && key === originalKey(address),
      async () => {
        await fleet.arrive(bytes('second'), address)
        await other.receiveUpload(address)
      },
    ),
  )
  const received = await tested.receiveUpload(address)
  const current = (await other.originals.find(address))?.arrival
  assert.is(current?.size, 6)
  assert.equal(received?.upload.arrival, current)
  assert.equal((await uploadOf(address)).arrival, current)
})

test('repeated events of a finished upload add no job', async () => {
  const address = await fleet.arrive(bytes('one'))
  const received = await other.receiveUpload(address)
  const { arrival } = received?.upload ?? {}
  assert.is(await takeJob(address, arrival?.etag ?? ''), true)
  await finish(address)
  for (const options of [{}, { versionId: arrival?.versionId, trustsKnown: true }]) {
    assert.is((await tested.receiveUpload(address, options))?.upload.state, 'ready')
    assert.is(await takeJob(address, arrival?.etag ?? ''), false)
  }
  await fleet.redis.del(`${fleet.prefix}:{${address.owner}}:upload:${address.id}`)
  assert.is((await tested.receiveUpload(address))?.upload.state, 'ready')
  assert.is(await takeJob(address, arrival?.etag ?? ''), false)
})

test('an event of bytes that are recorded already adds a job only if the record is not trusted', async () => {
  // A new process, which knows the epoch that an earlier test began.
  const lifecycle = createTestLifecycle(fleet)
  const address = await fleet.arrive(bytes('one'))
  const received = await lifecycle.receiveUpload(address)
  const { etag = '', versionId } = received?.upload.arrival ?? {}
  // Whoever recorded them stopped before it added the job.
  assert.is(await takeJob(address, etag), true)
  for (const trustsKnown of [true, false]) {
    const again = await lifecycle.receiveUpload(address, { versionId, trustsKnown })
    assert.equal([again?.upload.state, again?.upload.arrival], ['received', received?.upload.arrival])
    assert.is(await takeJob(address, etag), !trustsKnown)
  }
})

test('while the queue has no room an arrival is recorded without a job, with a record and without one', async () => {
  const queue = createUploadQueue({ redis: fleet.redis, prefix: fleet.prefix, maxQueuedJobs: 0 })
  const full = createTestLifecycle({ ...fleet, queue })
  const announced = await fleet.announce(bytes('one'))
  await fleet.arrive(bytes('one'), announced)
  const unknown = await fleet.arrive(bytes('one'))
  for (const address of [announced, unknown]) {
    const received = await full.receiveUpload(address)
    assert.is(received?.upload.state, 'received')
    assert.is(await takeJob(address, received?.upload.arrival?.etag ?? ''), false)
  }
  await queue.close()
})

test('an upload that becomes ready while it is checked is ready, and gets no second job', async () => {
  const address = await fleet.arrive(bytes('one'))
  const received = await other.receiveUpload(address)
  const etag = received?.upload.arrival?.etag ?? ''
  await takeJob(address, etag)
  stepped.after(
    once(
      ({ name, key }) => name === 'GetObject' && key.startsWith('manifests/'),
      () => finish(address),
    ),
  )
  assert.is((await tested.checkUpload(address))?.upload.state, 'ready')
  assert.is((await uploadOf(address)).state, 'ready')
  assert.is(await takeJob(address, etag), false)
})

test('a copy of another region gets a job only on request, with a record and without one', async () => {
  const copies = { ...other.originals }
  stepped.s3.middlewareStack.add(
    (next, context) => async (args) => {
      const response = await next(args)
      const isHead = context['commandName'] === 'HeadObjectCommand'
      return isHead ? { ...response, output: { ...response.output, ReplicationStatus: 'REPLICA' } } : response
    },
    { step: 'initialize', name: 'copies' },
  )
  const announced = await fleet.announce(bytes('one'))
  await fleet.arrive(bytes('one'), announced)
  const unknown = await fleet.arrive(bytes('one'))
  for (const address of [announced, unknown]) {
    const etag = (await copies.find(address))?.arrival.etag ?? ''
    assert.is((await tested.receiveUpload(address))?.isCopy, true)
    assert.is(await takeJob(address, etag), false)
    await tested.receiveUpload(address, { takesCopy: true })
    assert.is(await takeJob(address, etag), true)
  }
  stepped.s3.middlewareStack.remove('copies')
})

test('the job of a check that is backfill takes no room of fresh uploads', async () => {
  const address = await fleet.arrive(bytes('one'))
  const [room, backfill] = [await fleet.queue.room(), await fleet.queue.backfillRoom()]
  const checked = await tested.checkUpload(address, { isBackfill: true })
  assert.equal([await fleet.queue.room(), await fleet.queue.backfillRoom()], [room, backfill - 1])
  await takeJob(address, checked?.upload.arrival?.etag ?? '')
})

test('an edit without an upload stays while the bytes may still come, and is deleted afterwards', async () => {
  const edit = { revision: 1, filename: 'new.txt' }
  const dayMs = 24 * 60 * 60 * 1000
  const older = (Date.now() - 8 * dayMs).toString(16).padStart(12, '0')
  const young = { owner: 's-tester', id: newUploadId() }
  const old = { owner: 's-tester', id: `${older.slice(0, 8)}-${older.slice(8)}${newUploadId().slice(13)}` }
  for (const address of [young, old]) {
    assert.is(await other.edits.write(address, edit, undefined), true)
    assert.is(await tested.checkUpload(address), undefined)
  }
  assert.equal([await other.edits.read(young), await other.edits.read(old)], [edit, undefined])
})

test('an announcement whose multipart upload was aborted is no upload, and one that is open is', async () => {
  const address = { owner: 's-tester', id: newUploadId() }
  const Key = originalKey(address)
  const { UploadId: uploadId = '' } = await fleet.s3.send(
    new CreateMultipartUploadCommand({ Bucket: fleet.bucket, Key }),
  )
  const at = new Date().toISOString()
  await other.announcements.write({
    ...address,
    state: 'awaiting',
    intent: { filename: 'a', contentType: 'text/plain', size: 5, preset: 'default' },
    multipart: { uploadId, partSize: 5, partCount: 1 },
    findings: {},
    variants: [],
    createdAt: at,
    updatedAt: at,
    expiresAt: new Date(Date.now() + 60_000).toISOString(),
  })
  assert.is((await tested.lookup.find(address))?.upload.state, 'awaiting')
  await fleet.s3.send(new AbortMultipartUploadCommand({ Bucket: fleet.bucket, Key, UploadId: uploadId }))
  await fleet.redis.del(`${fleet.prefix}:{${address.owner}}:upload:${address.id}`)
  assert.is(await tested.lookup.find(address), undefined)
})

test('rejected bytes are deleted before their quota is released', async () => {
  const steps: string[] = []
  const remove = createRemoveRejectedBytes({
    deleteRejectedOriginal: async () => void steps.push('deleted'),
    quotaReservations: { release: async () => void steps.push('released') },
  })
  await remove({ owner: 's-tester', id: newUploadId() }, { etag: 'e', size: 1 })
  assert.equal(steps, ['deleted', 'released'])
})

test.run()
