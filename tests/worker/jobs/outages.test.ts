import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { processUploadJobId } from '@millrace/shared/jobs/process-upload-job.ts'
import { manifestKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('outages during jobs')
let directory: string
let redisServer: RedisServer
let fleet: WorkerFleet
let proxy: S3Proxy
/** A client through the proxy, without retries of its own. */
let proxiedS3: S3Client
let queue: Queue

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-outages-'))
  redisServer = await startRedisServer({ directory })
  fleet = await startWorkerFleet({ redisUrl: redisServer.url })
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
  await redisServer.close()
  await rm(directory, { recursive: true })
})

/** Adds an upload and its job, which has one attempt. */
async function arriveWithJob(bytes: Buffer) {
  const address = await fleet.arrive(bytes)
  const original = await createOriginals(fleet).find(address)
  const job = { version: 1, ...address, etag: original?.arrival.etag ?? '' }
  const jobId = processUploadJobId(job)
  await queue.add('process-upload', job, { jobId, attempts: 1 })
  return { address, jobId }
}

const writes =
  (prefix: string) =>
  ({ method, path }: SeenRequest) =>
    method === 'PUT' && path.includes(`/${prefix}/`)

async function manifestVersions(address: UploadAddress): Promise<number> {
  const { Versions = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: manifestKey(address) }),
  )
  return Versions.length
}

test('an outage of S3 does not use up the attempts of a job', async () => {
  const { address, jobId } = await arriveWithJob(Buffer.from('just text'))
  let refused = 0
  proxy.intercept((seen) => (writes('manifests')(seen) && ++refused === 1 ? 'refuse' : 'pass'))
  const worker = await fleet.startWorker({ s3: proxiedS3 })
  assert.is((await fleet.finished(address)).state, 'ready')
  await worker.close()
  const job = await queue.getJob(jobId)
  assert.equal([refused, job?.attemptsMade, job?.attemptsStarted], [2, 1, 2])
})

test('a permission that is missing for a while does not use up the attempts of a job', async () => {
  const { address, jobId } = await arriveWithJob(Buffer.from('just text'))
  let denied = 0
  proxy.intercept((seen) => (writes('manifests')(seen) && ++denied === 1 ? 'deny' : 'pass'))
  const worker = await fleet.startWorker({ s3: proxiedS3 })
  assert.is((await fleet.finished(address)).state, 'ready')
  await worker.close()
  const job = await queue.getJob(jobId)
  assert.equal([denied, job?.attemptsMade, job?.attemptsStarted], [2, 1, 2])
})

test('a job whose upload cannot be finished as failed during an outage is handed back', async () => {
  const { address, jobId } = await arriveWithJob(await sampleImage('image/png'))
  let refused = 0
  proxy.intercept((seen) => {
    if (writes('variants')(seen)) return 'invalid'
    return writes('manifests')(seen) && ++refused === 1 ? 'refuse' : 'pass'
  })
  const worker = await fleet.startWorker({ s3: proxiedS3 })
  assert.is((await fleet.finished(address)).state, 'failed')
  await worker.close()
  assert.is(refused, 2)
  assert.is((await queue.getJob(jobId))?.attemptsMade, 1)
})

test('an upload whose manifest is written while Redis is full ends ready, with one manifest', async () => {
  const held = proxy.hold(writes('manifests'))
  const { address } = await arriveWithJob(Buffer.from('just text'))
  const worker = await fleet.startWorker({ s3: proxiedS3, environment: { LOG_LEVEL: 'info' } })
  await held.arrived
  await fleet.redis.config('SET', 'maxmemory', '1')
  held.release()
  await worker.log.until(({ event }) => event === 'outage' || event === 'given-up')
  await fleet.redis.config('SET', 'maxmemory', '0')
  assert.is((await fleet.finished(address)).state, 'ready')
  assert.is((await fleet.manifests.read(address))?.outcome, 'ready')
  assert.is(await manifestVersions(address), 1)
})

test.run()
