import { processUploadJobId } from '@millrace/shared/jobs/process-upload-job.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { startFakeClamd } from '../support/fake-clamd.ts'
import { inspectSecret, startFakeInspector } from '../support/fake-inspector.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('scanner outages')
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

/** Adds an upload and its job, which has one attempt. */
async function arriveWithJob(bytes: Buffer) {
  const address = await fleet.arrive(bytes)
  const original = await createOriginals(fleet).find(address)
  const job = { version: 1, ...address, etag: original?.arrival.etag ?? '' }
  const jobId = processUploadJobId(job)
  await queue.add('process-upload', job, { jobId, attempts: 1 })
  return { address, jobId }
}

test('an upload waits while clamd does not run, and becomes ready when it does', async () => {
  const before = await startFakeClamd()
  await before.close()
  const worker = await fleet.startWorker({ environment: { CLAMD_URL: before.url, LOG_LEVEL: 'info' } })
  const address = await fleet.arrive(Buffer.from('text'))
  const outage = await worker.log.until((line) => line['event'] === 'outage')
  assert.match(JSON.stringify(outage), 'ECONNREFUSED')
  assert.is((await fleet.records.find(address))?.upload.state, 'processing')
  assert.is(await fleet.manifests.read(address), undefined)
  const clamd = await startFakeClamd({ port: before.port })
  assert.is((await fleet.finished(address)).state, 'ready')
  await clamd.close()
})

test('a clamd that fails, closes the connection or hangs does not use up the attempts of a job', async () => {
  const clamd = await startFakeClamd()
  for (const mode of ['error', 'close', 'hang'] as const) {
    clamd.setMode(mode)
    const scansBefore = clamd.scans()
    const { address, jobId } = await arriveWithJob(Buffer.alloc(300_000, mode))
    const worker = await fleet.startWorker({
      environment: { CLAMD_URL: clamd.url, SCAN_TIMEOUT_MS: '200' },
    })
    await clamd.untilScans(scansBefore + 1)
    clamd.setMode('scan')
    assert.is((await fleet.finished(address)).state, 'ready')
    await worker.close()
    const job = await queue.getJob(jobId)
    assert.equal([mode, job?.attemptsMade, job?.attemptsStarted], [mode, 1, 2])
  }
  await clamd.close()
})

test('an inspector that fails does not use up the attempts of a job', async () => {
  let asked = 0
  const inspector = await startFakeInspector((_question, response) => {
    asked += 1
    if (asked === 1) response.writeHead(500).end()
    else response.end('{"decision":"accept"}')
  })
  const { address, jobId } = await arriveWithJob(Buffer.from('text'))
  const worker = await fleet.startWorker({
    environment: { INSPECT_URL: inspector.url, INSPECT_SECRET: inspectSecret },
  })
  assert.is((await fleet.finished(address)).state, 'ready')
  await worker.close()
  const job = await queue.getJob(jobId)
  assert.equal([asked, job?.attemptsMade, job?.attemptsStarted], [2, 1, 2])
  inspector.close()
})

test.run()
