import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  ListMultipartUploadsCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { PurgeQueueCommand } from '@aws-sdk/client-sqs'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { processUploadJobId } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Manifest } from '@millrace/shared/ledger/manifest.ts'
import {
  announcementKey,
  erasureKey,
  manifestKey,
  originalKey,
  sweepStateKey,
  unfinishedKey,
  variantKey,
} from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId, uploadIdTimeMs } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadKeys } from '@millrace/shared/uploads/upload-keys.ts'
import { createSweeper } from '@millrace/worker/reconciliation/reconciliation.ts'
import { newSweepState } from '@millrace/worker/reconciliation/sweep-state.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { createTestSweeper, sweepNow, testLimits } from '../support/sweep-now.ts'
import { watchWrites } from '../support/watch-writes.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('sweep')
const minuteMs = 60_000
const dayMs = 24 * 60 * minuteMs
const minAgeMs = 60 * minuteMs
let directory: string
/** A separate server, since these tests delete all its data. */
let redisServer: RedisServer
let fleet: WorkerFleet

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  redisServer = await startRedisServer({ directory })
})
test.after(async () => {
  await redisServer.close()
  await rm(directory, { recursive: true })
})
test.before.each(async () => {
  fleet = await startWorkerFleet({ redisUrl: redisServer.url })
  // So that no worker of these tests begins a sweep of its own.
  const state = newSweepState(undefined, Date.now())
  await createTestSweeper(fleet).stateStore.write({ ...state, completedAt: new Date().toISOString() })
})
test.after.each(() => fleet.close())

/** Deletes the messages that S3 sent. */
async function deleteMessages(): Promise<void> {
  await fleet.sqs.send(new PurgeQueueCommand({ QueueUrl: fleet.environment['EVENTS_QUEUE_URL'] }))
}

function isListing(output: object): output is ListObjectsV2CommandOutput {
  return 'KeyCount' in output
}

/** Sets the dates of listed objects, which S3 sets by its clock. */
function dateObjects(s3: S3Client, dateOf: (key: string) => Date | undefined): void {
  s3.middlewareStack.add(
    (next) => async (args) => {
      const response = await next(args)
      if (!isListing(response.output)) return response
      for (const object of response.output.Contents ?? []) {
        object.LastModified = dateOf(object.Key ?? '') ?? object.LastModified
      }
      return response
    },
    { step: 'initialize', name: 'dateObjects', override: true },
  )
}

/** Writes a manifest of an original's bytes, or of others, without changing the record. */
async function writeManifest(address: UploadAddress, properties: Partial<Manifest> = {}): Promise<void> {
  const { originals, manifests } = createTestLifecycle(fleet)
  const original = await originals.find(address)
  const intent = { filename: 'a.jpg', contentType: 'image/jpeg', size: 1, preset: 'default' }
  const now = new Date().toISOString()
  const manifest: Manifest = {
    version: 1,
    ...address,
    outcome: 'ready',
    intent,
    arrival: original?.arrival ?? { etag: 'none', size: 1 },
    recipe: 'r',
    findings: {},
    variants: [],
    createdAt: now,
    finishedAt: now,
    ...properties,
  }
  assert.ok(await manifests.write(manifest, undefined))
}

/** Creates a record as it was written long ago. */
async function createRecord(address: UploadAddress, properties: Partial<Upload>): Promise<void> {
  const at = new Date(Date.now() - 2 * minAgeMs).toISOString()
  await fleet.records.create({
    ...address,
    state: 'awaiting',
    intent: { filename: 'a.jpg', contentType: 'image/jpeg', size: 1, preset: 'default' },
    findings: {},
    variants: [],
    createdAt: at,
    updatedAt: at,
    ...properties,
  })
}

/** Returns a new upload id of some time ago. */
function olderId(ageMs: number): string {
  const time = (Date.now() - ageMs).toString(16).padStart(12, '0')
  return `${time.slice(0, 8)}-${time.slice(8)}${newUploadId().slice(13)}`
}

const newAddress = (owner = 's-tester') => ({ owner, id: newUploadId() })

async function addToIndex(owner: string, ids: string[]): Promise<void> {
  await fleet.redis.zadd(createUploadKeys(fleet.prefix).index(owner), ...ids.flatMap((id) => [0, id]))
}

test('a sweep finishes an upload whose event and Redis data were lost', async () => {
  const address = await fleet.arrive(Buffer.from('just text'), { filename: 'kept.png' })
  await deleteMessages()
  await fleet.startWorker()
  await fleet.redis.flushall()
  const { counts } = await sweepNow(fleet)
  assert.equal(counts, { originals: 1, 'original-without-manifest': 1, checked: 1 })
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.intent.filename], ['ready', 'kept.png'])
})

test('a sweep finishes an upload whose job was lost with Redis', async () => {
  const address = await fleet.arrive(Buffer.from('just text'))
  await createTestLifecycle(fleet).receiveUpload(address)
  await deleteMessages()
  await fleet.redis.flushall()
  await sweepNow(fleet)
  await fleet.startWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test('a sweep restarts a failed job whose upload is unfinished', async () => {
  const address = await fleet.arrive(Buffer.from('just text'))
  await deleteMessages()
  const stored = await createTestLifecycle(fleet).receiveUpload(address)
  const job = { id: address.id, etag: stored?.upload.arrival?.etag ?? '' }
  const queue = new Queue('uploads', { connection: fleet.redis, prefix: fleet.prefix })
  // The state of a failed job in BullMQ.
  const jobKey = `${fleet.prefix}:uploads:${processUploadJobId(job)}`
  await fleet.redis.zrem(`${fleet.prefix}:uploads:prioritized`, processUploadJobId(job))
  await fleet.redis.zadd(`${fleet.prefix}:uploads:failed`, Date.now(), processUploadJobId(job))
  await fleet.redis.hset(jobKey, 'atm', 5, 'failedReason', 'S3 was unavailable', 'finishedOn', Date.now())
  assert.is(await queue.getJobState(processUploadJobId(job)), 'failed')

  await sweepNow(fleet)
  const revived = await queue.getJob(processUploadJobId(job))
  assert.equal([await revived?.getState(), revived?.attemptsMade], ['prioritized', 0])
  assert.ok((revived?.priority ?? 0) >= 2 ** 20, 'it starts after all new uploads')
  await queue.close()
  await fleet.startWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test('a sweep deletes identical bytes whose event was lost, and the version that is served stays', async () => {
  const worker = await fleet.startWorker()
  const bytes = Buffer.from('just text')
  const address = await fleet.arrive(bytes)
  const { arrival } = await fleet.finished(address)
  await worker.close()
  await fleet.arrive(bytes, address)
  await deleteMessages()
  // As noncurrent version, the served one would be deleted by the bucket's lifecycle rule.
  dateObjects(fleet.s3, (key) => new Date(Date.now() - (key.startsWith('originals/') ? 1 : 2) * minAgeMs))
  const { counts } = await sweepNow(fleet)
  assert.is(counts['original-of-other-bytes'], 1)
  const { Versions = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: 'originals/' }),
  )
  assert.equal(
    Versions.map(({ VersionId }) => VersionId),
    [arrival?.versionId],
  )
  const stored = await fleet.records.find(address)
  assert.equal([stored?.upload.state, stored?.upload.arrival], ['ready', arrival])
  assert.is(await fleet.queue.isPending({ id: address.id, etag: arrival?.etag ?? '' }), false)
})

test('a sweep leaves young originals to their messages, and waiting jobs alone', async () => {
  const waiting = await fleet.arrive(Buffer.from('text'))
  await createTestLifecycle(fleet).receiveUpload(waiting)
  await fleet.arrive(Buffer.from('text'))
  const young = await sweepNow(fleet, { limits: { minAgeMs } })
  assert.equal(young.counts, { originals: 2, young: 2 })
  const { counts } = await sweepNow(fleet)
  assert.equal(counts, { originals: 2, waiting: 1, 'original-without-manifest': 1, checked: 1 })
})

test('a second sweep of an unchanged bucket does nothing', async () => {
  const { s3, bucket } = fleet
  // Half of all uploads are finished in the second of their arrival. Here all are, at an age of three hours.
  const date = new Date(Date.now() - 3 * minAgeMs)
  dateObjects(s3, () => date)
  const finished = await fleet.arrive(Buffer.from('1'))
  await writeManifest(finished)
  const withStaleRecord = await fleet.arrive(Buffer.from('2'))
  await createRecord(withStaleRecord, { state: 'processing' })
  await writeManifest(withStaleRecord)
  const rejected = newAddress()
  await writeManifest(rejected, { outcome: 'rejected' })
  const orphan = newAddress()
  await writeManifest(orphan)
  const awaiting = newAddress()
  await createRecord(awaiting, { expiresAt: new Date(Date.now() + dayMs).toISOString() })
  await createRecord(newAddress('s-without-objects'), { state: 'received' })
  const dead = { owner: 's-tester', id: olderId(dayMs) }
  await addToIndex('s-tester', [finished.id, dead.id])
  const erased = newAddress()
  await createTestLifecycle(fleet).erasures.mark(erased)
  await s3.send(
    new CreateMultipartUploadCommand({
      Bucket: bucket,
      Key: originalKey({ owner: 's-tester', id: olderId(8 * dayMs) }),
    }),
  )

  const first = await sweepNow(fleet, { limits: { minAgeMs } })
  assert.equal(first.counts, {
    originals: 2,
    manifests: 4,
    compared: 4,
    checked: 5,
    'unconfirmed-erasure': 1,
    'manifest-without-original': 1,
    'unfinished-record': 1,
    'record-without-object': 1,
    'id-without-upload': 1,
    'expired-parts': 1,
  })
  assert.is((await fleet.records.find(withStaleRecord))?.upload.state, 'ready')
  fleet.changes.clear()

  const { changes, requests } = await watchWrites(redisServer.url, s3, async () => {
    const second = await sweepNow(fleet, { limits: { minAgeMs } })
    assert.equal(second.counts, { originals: 2, manifests: 4 })
  })
  assert.equal(changes, [`PutObjectCommand ${sweepStateKey()}`])
  const other = requests.filter((name) => !/^List(ObjectsV2|MultipartUploads)Command$/.test(name))
  assert.equal(other, ['GetObjectCommand', 'PutObjectCommand'], 'only the state')
  assert.equal(await fleet.records.find(finished), undefined, 'an expired record is not created again')
  assert.is((await fleet.records.find(awaiting))?.upload.state, 'awaiting')
})

test('a sweep receives bytes that were replaced within the second of their manifest', async () => {
  const date = new Date(Date.now() - dayMs)
  dateObjects(fleet.s3, () => date)
  const [same, replaced] = [await fleet.arrive(Buffer.from('1')), await fleet.arrive(Buffer.from('1'))]
  await writeManifest(same)
  await writeManifest(replaced)
  await fleet.arrive(Buffer.from('2'), replaced)
  const first = await sweepNow(fleet)
  assert.equal(first.counts, {
    originals: 2,
    manifests: 2,
    compared: 2,
    checked: 1,
    'original-of-other-bytes': 1,
  })
  assert.is((await fleet.records.find(replaced))?.upload.state, 'received')
  assert.is(await fleet.records.find(same), undefined)

  // The job is lost too, before any worker took it. So the next sweep must look again.
  await fleet.redis.flushall()
  const second = await sweepNow(fleet)
  assert.is(second.counts['original-of-other-bytes'], 1)
  assert.is((await fleet.records.find(replaced))?.upload.state, 'received')
})

test('a sweep corrects an old unfinished record of an upload that has a manifest, and not a young one', async () => {
  const [old, young] = [await fleet.arrive(Buffer.from('1')), await fleet.arrive(Buffer.from('1'))]
  await createRecord(old, { state: 'processing' })
  await createRecord(young, { state: 'processing', updatedAt: new Date().toISOString() })
  const rejected = newAddress()
  await createRecord(rejected, { state: 'received' })
  for (const address of [old, young]) await writeManifest(address)
  await writeManifest(rejected, { outcome: 'rejected' })
  const { counts } = await sweepNow(fleet, { limits: { minAgeMs } })
  assert.is(counts['unfinished-record'], 2)
  const states = await Promise.all([old, young, rejected].map((address) => fleet.records.find(address)))
  assert.equal(
    states.map((found) => found?.upload.state),
    ['ready', 'processing', 'rejected'],
  )
})

test('a sweep deletes records of uploads that S3 does not have, also of owners without any object', async () => {
  await fleet.arrive(Buffer.from('1'))
  const received = newAddress()
  const expired = newAddress('s-other')
  const awaiting = newAddress('s-other')
  const failedImport = newAddress('s-third')
  await createRecord(received, { state: 'received', arrival: { etag: 'lost', size: 1 } })
  await createRecord(expired, { expiresAt: new Date(Date.now() - 2 * minAgeMs).toISOString() })
  await createRecord(awaiting, {})
  await createRecord(failedImport, { state: 'failed' })
  const { counts } = await sweepNow(fleet, { limits: { minAgeMs } })
  assert.equal(counts, { originals: 1, young: 1, 'record-without-object': 2, checked: 2 })
  const all = await Promise.all(
    [received, expired, awaiting, failedImport].map((address) => fleet.records.find(address)),
  )
  assert.equal(
    all.map((found) => found?.upload.state),
    [undefined, undefined, 'awaiting', 'failed'],
  )
  assert.equal(await fleet.redis.zrange(createUploadKeys(fleet.prefix).index('s-other'), '0', '-1'), [
    awaiting.id,
  ])
})

test('a sweep erases a marked upload a second time, once', async () => {
  const { s3, bucket } = fleet
  const address = newAddress()
  await createTestLifecycle(fleet).erasures.mark(address)
  const late = variantKey(address, { version: 'default', name: 'w320', sha256: 'ab12', extension: 'webp' })
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key: late, Body: 'x' }))
  const early = await sweepNow(fleet, { afterMs: 14 * minuteMs })
  assert.equal(early.counts, {}, 'copies may still arrive')
  const first = await sweepNow(fleet, { afterMs: 16 * minuteMs })
  assert.equal(first.counts, { 'unconfirmed-erasure': 1, checked: 1 })
  const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket: bucket }))
  assert.equal(
    Contents.map(({ Key }) => Key),
    [erasureKey(address), sweepStateKey()],
  )
  assert.equal((await sweepNow(fleet, { afterMs: 16 * minuteMs })).counts, {})
})

test('a dry run counts and names what a sweep would correct, and changes nothing', async () => {
  const { s3, bucket } = fleet
  const unfinished = await fleet.arrive(Buffer.from('1'))
  await createRecord(newAddress(), { state: 'received' })
  await createTestLifecycle(fleet).erasures.mark(newAddress())
  await s3.send(
    new PutObjectCommand({
      Bucket: bucket,
      Key: unfinishedKey({ owner: 's-tester', id: olderId(8 * dayMs) }),
      Body: 'x',
    }),
  )
  const announcement = announcementKey({ owner: 's-tester', id: olderId(9 * dayMs) })
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key: announcement, Body: '{}' }))
  // Until BullMQ has written the options of the queue, which it does once.
  await fleet.queue.counts()
  const expected = {
    originals: 1,
    'unconfirmed-erasure': 1,
    'original-without-manifest': 1,
    'record-without-object': 1,
    'expired-parts': 2,
  }
  const { changes } = await watchWrites(redisServer.url, s3, async () => {
    const dry = await sweepNow(fleet, { isDryRun: true, maxIds: 3, afterMs: 16 * minuteMs })
    assert.equal(dry.counts, expected)
    assert.equal(dry.named('original-without-manifest'), [`s-tester/${unfinished.id}`])
  })
  assert.equal(changes, [])
  const { counts } = await sweepNow(fleet, { afterMs: 16 * minuteMs })
  assert.equal(counts, { ...expected, checked: 5 })
})

test('a sweep compares originals, manifests and indexes over many pages, owners and invalid keys', async () => {
  const put = (key: string) =>
    fleet.s3.send(new PutObjectCommand({ Bucket: fleet.bucket, Key: key, Body: 'x' }))
  const owners = ['a', 'a-b', 'a0', 'b', 's-1']
  const addresses = owners.flatMap((owner) => Array.from({ length: 5 }, () => newAddress(owner)))
  for (const address of addresses) await put(originalKey(address))
  for (const key of ['originals/a/invalid', 'originals/zz', 'manifests/a/invalid.json', 'manifests/zz']) {
    await put(key)
  }
  // Manifests without an original, as after an original expired.
  const orphans = [newAddress('a'), newAddress('zz')]
  const finished = addresses.filter((_, i) => i % 2 === 0)
  for (const address of [...finished, ...orphans]) await put(manifestKey(address))
  // Before, between and after the uploads of each owner, and of an owner without any.
  const dead = [...owners, 'a00', 'zzz'].flatMap((owner) =>
    [olderId(dayMs), newUploadId()].map((id) => ({ owner, id })),
  )
  for (const owner of [...owners, 'a00', 'zz', 'zzz']) {
    const ids = [...addresses, ...orphans, ...dead].filter((each) => each.owner === owner).map(({ id }) => id)
    await addToIndex(owner, ids)
  }

  const s3 = new S3Client({ endpoint: fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '', ...fleet.identity })
  s3.middlewareStack.add(
    (next, context) => (args) => {
      const isObjectListing = context['commandName'] === 'ListObjectsV2Command'
      return next(isObjectListing ? { ...args, input: { ...args.input, MaxKeys: 3 } } : args)
    },
    { step: 'initialize' },
  )
  dateObjects(s3, (key) => (key.startsWith('manifests/') ? new Date(Date.now() + 1_000) : undefined))
  const checked: string[] = []
  const lifecycle = {
    ...createTestLifecycle(fleet),
    async checkUpload({ owner, id }: UploadAddress) {
      checked.push(`${owner}/${id}`)
      return undefined
    },
  }
  const log = createLog({ level: 'silent', instance: 'test' })
  const { sweep } = createSweeper({ ...fleet, s3, lifecycle, log, limits: testLimits })
  let saved = newSweepState(undefined, Date.now())
  const result = await sweep({
    state: saved,
    save: async (state) => {
      saved = state
    },
    signal: new AbortController().signal,
  })
  s3.destroy()
  const unfinished = addresses.filter((address) => !finished.includes(address))
  const named = (some: UploadAddress[]) => some.map(({ owner, id }) => `${owner}/${id}`)
  assert.equal(checked.toSorted(), named([...unfinished, ...dead]).toSorted())
  assert.equal(result.findings.counts(), {
    originals: 25,
    manifests: finished.length + orphans.length,
    'original-without-manifest': unfinished.length,
    'id-without-upload': dead.length,
    checked: checked.length,
  })
  assert.ok(saved.completedAt)
})

test('a sweep that was stopped is continued at its cursor by another one', async () => {
  const stopping = new AbortController()
  const lists: string[] = []
  const addresses = [await fleet.arrive(Buffer.from('1')), await fleet.arrive(Buffer.from('2'))]
  fleet.s3.middlewareStack.add(
    (next, context) => async (args) => {
      if (context['commandName'] !== 'ListObjectsV2Command') return next(args)
      const after = 'StartAfter' in args.input ? String(args.input.StartAfter) : ''
      lists.push(after)
      const response = await next({ ...args, input: { ...args.input, MaxKeys: 1 } })
      // The process is told to stop while the second page is on its way.
      if (after === originalKey(addresses[0] ?? newAddress())) stopping.abort()
      return response
    },
    { step: 'initialize', name: 'onePerPage' },
  )
  const first = createTestSweeper(fleet)
  const state = newSweepState(await first.stateStore.read(), Date.now())
  const run = first.sweep({ state, save: first.stateStore.write, signal: stopping.signal })
  await run.then(
    () => assert.unreachable('it was stopped'),
    () => undefined,
  )

  const second = createTestSweeper(fleet)
  const interrupted = await second.stateStore.read()
  if (!interrupted) throw new Error('There is no state.')
  const [one] = addresses
  assert.equal(
    [interrupted.stage, interrupted.cursor, interrupted.counts['checked'], interrupted.completedAt],
    ['objects', `${one?.owner}/${one?.id}`, 1, undefined],
  )
  lists.length = 0
  const { signal } = new AbortController()
  const { findings } = await second.sweep({ state: interrupted, save: second.stateStore.write, signal })
  assert.is(lists[0], originalKey(one ?? newAddress()), 'it lists nothing again')
  assert.equal(findings.counts(), { originals: 2, 'original-without-manifest': 2, checked: 2 })
  const late = await first.stateStore.write(state).catch((error: unknown) => error)
  assert.match(String(late), /Another worker has continued this sweep/)
})

test('a sweep that cannot reach S3 ends, and names no upload as failed for good', async () => {
  const address = await fleet.arrive(Buffer.from('1'))
  fleet.s3.middlewareStack.add(
    (next, context) => (args) => {
      if (context['commandName'] !== 'HeadObjectCommand') return next(args)
      throw Object.assign(new Error('S3 is unavailable'), { name: 'TimeoutError' })
    },
    { step: 'initialize', name: 'refuseHead' },
  )
  const failed = await sweepNow(fleet).catch((error: unknown) => error)
  assert.match(String(failed), /S3 is unavailable/)
  fleet.s3.middlewareStack.remove('refuseHead')
  await sweepNow(fleet)
  assert.is((await fleet.records.find(address))?.upload.state, 'received')
})

test('multipart uploads and unfinished bytes are erased once their upload expired, and originals are not', async () => {
  const { s3, bucket } = fleet
  const address = newAddress()
  const afterMs = (days: number) => uploadIdTimeMs(address.id) + days * dayMs - Date.now()
  await s3.send(new CreateMultipartUploadCommand({ Bucket: bucket, Key: originalKey(address) }))
  const unfinishedBytes = { Bucket: bucket, Key: unfinishedKey(address), Body: 'x' }
  await s3.send(new PutObjectCommand(unfinishedBytes))
  const complete = await fleet.arrive(new Uint8Array(7))
  const keys = async () => {
    const { Contents = [] }: ListObjectsV2CommandOutput = await s3.send(
      new ListObjectsV2Command({ Bucket: bucket }),
    )
    const { Uploads = [] } = await s3.send(new ListMultipartUploadsCommand({ Bucket: bucket }))
    return [Contents, Uploads]
      .flat()
      .map(({ Key = '' }) => Key)
      .filter((key) => key !== sweepStateKey())
  }
  const before = [originalKey(complete), unfinishedKey(address), originalKey(address)]
  assert.not.ok('expired-parts' in (await sweepNow(fleet, { afterMs: afterMs(7) })).counts)
  assert.equal((await keys()).toSorted(), before.toSorted())
  assert.is((await sweepNow(fleet, { afterMs: afterMs(8) })).counts['expired-parts'], 1)
  assert.equal(await keys(), [originalKey(complete)])
  // A small tus upload has unfinished bytes and no multipart upload.
  await s3.send(new PutObjectCommand(unfinishedBytes))
  assert.is((await sweepNow(fleet, { afterMs: afterMs(8) })).counts['expired-parts'], 1)
  assert.equal(await keys(), [originalKey(complete)])
  await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: originalKey(complete) }))
})

test.run()
