import { ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { processUploadJobId } from '@millrace/shared/jobs/process-upload-job.ts'
import { manifestKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('jobs of another version')
let fleet: WorkerFleet
let queue: Queue

test.before(async () => {
  fleet = await startWorkerFleet()
  queue = new Queue('uploads', { connection: fleet.redis, prefix: fleet.prefix })
})
test.after.each(() => fleet.reset())
test.after(async () => {
  await queue.close()
  await fleet.close()
})

/** Adds an upload and its job, which has one attempt. @param changes fields of the payload that another version writes */
async function arriveWithJob(changes: object = {}) {
  const address = await fleet.arrive(Buffer.from('just text'))
  const original = await createOriginals(fleet).find(address)
  const payload = { version: 1, ...address, etag: original?.arrival.etag ?? '' }
  const jobId = processUploadJobId(payload)
  const job = await queue.add('process-upload', { ...payload, ...changes }, { jobId, attempts: 1 })
  return { address, payload, job }
}

/** Runs a worker until it has handed a job back as unreadable. */
async function runUntilHandedBack(jobId = ''): Promise<void> {
  const worker = await fleet.startWorker({ environment: { LOG_LEVEL: 'info' } })
  await worker.log.until((line) => line['event'] === 'unreadable' && line['jobId'] === jobId)
  await worker.close()
}

async function assertDelayed(jobId = ''): Promise<void> {
  const job = await queue.getJob(jobId)
  assert.equal([await job?.getState(), job?.attemptsMade], ['delayed', 0])
}

async function manifestVersions(address: UploadAddress): Promise<number> {
  const { Versions = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: manifestKey(address) }),
  )
  return Versions.length
}

test('a job with a payload of a newer version is handed back until a worker can read it', async () => {
  const { address, payload, job } = await arriveWithJob({ version: 2, preset: { name: 'default' } })
  await runUntilHandedBack(job.id)
  await assertDelayed(job.id)
  assert.is(await manifestVersions(address), 0)

  // What a newer worker reads.
  await job.updateData(payload)
  await job.promote()
  await fleet.startWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test('a job with an unknown name is handed back until a worker has its handler', async () => {
  const job = await queue.add('scan-upload', { version: 1 }, { attempts: 1 })
  await runUntilHandedBack(job.id)
  await assertDelayed(job.id)
})

test('fields of a payload that only a newer version knows are ignored', async () => {
  const { address } = await arriveWithJob({ priorityOf: 'x' })
  await fleet.startWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test('a manifest of a newer version is not replaced, and the job of its upload is handed back', async () => {
  const { address, job } = await arriveWithJob()
  const Body = JSON.stringify({ version: 2, outcome: { state: 'ready' } })
  await fleet.s3.send(new PutObjectCommand({ Bucket: fleet.bucket, Key: manifestKey(address), Body }))
  await runUntilHandedBack(job.id)
  await assertDelayed(job.id)
  assert.is((await fleet.object(manifestKey(address))).toString(), Body)
  assert.is(await manifestVersions(address), 1)
  assert.equal(
    fleet.changes.states(address.id).filter((state) => state === 'ready' || state === 'failed'),
    [],
  )
})

test('a record of a newer version is not replaced, and the job of its upload is handed back', async () => {
  const { address, job } = await arriveWithJob()
  const key = `${fleet.prefix}:{${address.owner}}:upload:${address.id}`
  const record = JSON.stringify({ ...address, state: 'quarantined' })
  await fleet.redis.hset(key, { revision: '7', record })
  await runUntilHandedBack(job.id)
  await assertDelayed(job.id)
  assert.equal(await fleet.redis.hgetall(key), { revision: '7', record })
  assert.is(await manifestVersions(address), 0)

  await fleet.redis.del(key)
  await job.promote()
  await fleet.startWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test.run()
