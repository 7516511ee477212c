import { ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3'
import { processUploadJobId } from '@millrace/shared/jobs/process-upload-job.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { interlacedPng } from '../support/odd-images.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('job retries')
let fleet: WorkerFleet
let proxy: S3Proxy
/** A client through the proxy, without retries of its own. */
let proxiedS3: S3Client
let queue: Queue

test.before(async () => {
  fleet = await startWorkerFleet()
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  proxiedS3 = new S3Client({ endpoint: proxy.endpoint, ...fleet.identity, maxAttempts: 1 })
  queue = new Queue('uploads', { connection: fleet.redis, prefix: fleet.prefix })
})
test.after.each(async () => {
  await fleet.reset()
  proxy.intercept(() => 'pass')
})
test.after(async () => {
  await queue.close()
  await fleet.close()
  proxiedS3.destroy()
  await proxy.close()
})

/** Adds an upload and its job, with three attempts and no pause between them. */
async function arriveWithJob(bytes: Buffer, announced?: UploadAddress) {
  const address = await fleet.arrive(bytes, announced)
  const original = await createOriginals(fleet).find(address)
  const job = { version: 1, ...address, etag: original?.arrival.etag ?? '' }
  const jobId = processUploadJobId(job)
  await queue.add('process-upload', job, { jobId, attempts: 3 })
  return { address, jobId, etag: job.etag }
}

const writes =
  (prefix: string) =>
  ({ method, path }: SeenRequest) =>
    method === 'PUT' && path.includes(`/${prefix}/`)

test('a job is retried if a response of S3 breaks off', async () => {
  const { address } = await arriveWithJob(Buffer.alloc(10_000, 'text '))
  let cut = 0
  proxy.intercept(({ method, path }) =>
    method === 'GET' && path.includes('/originals/') && ++cut <= 2 ? 'cut' : 'pass',
  )
  await fleet.startWorker({ s3: proxiedS3 })
  assert.is((await fleet.finished(address)).state, 'ready')
  assert.is(cut, 3)
})

test('an upload fails after the last attempt of its job, and its job can be restarted', async () => {
  const { address, jobId, etag } = await arriveWithJob(await sampleImage('image/png'))
  let refused = 0
  proxy.intercept((seen) => {
    if (!writes('variants')(seen)) return 'pass'
    refused += 1
    return 'invalid'
  })
  const worker = await fleet.startWorker({ s3: proxiedS3 })
  const upload = await fleet.finished(address)
  assert.equal(
    [upload.state, upload.error],
    [
      'failed',
      { code: 'processing_failed', message: 'The file could not be processed. Processing can be retried.' },
    ],
  )
  assert.is((await fleet.manifests.read(address))?.outcome, 'failed')
  assert.is(refused, 3 * 4, 'four variants in each of three attempts')
  assert.equal(fleet.changes.states(address.id), ['received', 'processing', 'failed'])
  await worker.close()
  assert.is(await queue.getJobState(jobId), 'failed')

  proxy.intercept(() => 'pass')
  await fleet.queue.revive({ ...address, etag })
  await fleet.startWorker({ s3: proxiedS3 })
  assert.is((await fleet.finished(address, 'ready')).error, undefined)
  assert.is((await fleet.manifests.read(address))?.outcome, 'ready')
})

test('an upload stays unfinished if its failed manifest cannot be written', async () => {
  const { address, jobId } = await arriveWithJob(Buffer.from('text'))
  const failed = Promise.withResolvers<void>()
  let refused = 0
  proxy.intercept((seen) => {
    if (!writes('manifests')(seen)) return 'pass'
    refused += 1
    // One in each of three attempts, and that of the failed upload.
    if (refused === 4) failed.resolve()
    return 'invalid'
  })
  const worker = await fleet.startWorker({ s3: proxiedS3 })
  await failed.promise
  await worker.close()
  assert.is(await queue.getJobState(jobId), 'failed')
  assert.is((await fleet.records.find(address))?.upload.state, 'processing')
  assert.is(await fleet.manifests.read(address), undefined)
})

test('a worker fails jobs with an invalid payload, and processes the next ones', async () => {
  const empty = await queue.add('process-upload', {}, { attempts: 3 })
  const invalid = await queue.add('process-upload', { version: 1, owner: '../..' }, { attempts: 3 })
  const older = await queue.add('process-upload', { version: 0 }, { attempts: 3 })
  await fleet.startWorker()
  const address = await fleet.arrive(Buffer.from('text'))
  assert.is((await fleet.finished(address)).state, 'ready')
  for (const { id = '' } of [empty, invalid, older]) {
    const job = await queue.getJob(id)
    assert.is(await job?.getState(), 'failed')
    assert.is(job?.attemptsMade, 1)
  }
})

test('an image that takes too much time is rejected, and the worker renders the next one', async () => {
  const { address } = await arriveWithJob(interlacedPng(4_000, { channels: 1 }))
  const worker = await fleet.startWorker({ environment: { DECODER_CPU_LIMIT_MS: '200' } })
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.error?.code], ['rejected', 'poison_file'])
  const { checks, steps, limits } = (await fleet.manifests.read(address))?.evidence ?? {}
  const failed = checks?.find(({ result }) => result === 'failed')
  assert.equal([failed?.name, limits?.['decoderCpuMs']], ['decoder-limits', 200])
  assert.match(failed?.detail ?? '', 'It used more than 200 ms of CPU.')
  assert.ok((steps?.find(({ name }) => name === 'render')?.cpuMs ?? 0) > 2 * 200, 'both tries')
  await worker.close()
  await fleet.startWorker()
  assert.is((await fleet.finished(await fleet.arrive(await sampleImage('image/png', 60, 40)))).state, 'ready')
})

test('an image file over the size limit for images is rejected before it is read', async () => {
  const bytes = await sampleImage('image/png')
  await fleet.startWorker({ environment: { MAX_IMAGE_BYTES: String(bytes.length - 1) } })
  const upload = await fleet.finished(await fleet.arrive(bytes))
  assert.equal([upload.state, upload.error?.code], ['rejected', 'image_too_large'])
  assert.equal(upload.findings, { detectedType: 'image/png' })
})

test('a later attempt deletes the bytes that an earlier one rejected', async () => {
  const announced = await fleet.announce(Buffer.alloc(1000))
  const { address } = await arriveWithJob(Buffer.alloc(999), announced)
  let refused = 0
  proxy.intercept(({ method }) => {
    if (method !== 'DELETE' || refused > 0) return 'pass'
    refused += 1
    return 'refuse'
  })
  await fleet.startWorker({ s3: proxiedS3 })
  const upload = await fleet.finished(address, 'rejected')
  assert.equal([upload.error?.code, refused], ['size_mismatch', 1])
  const { Versions } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: originalKey(address) }),
  )
  assert.is(Versions, undefined)
})

test.run()
