import { ListObjectVersionsCommand, S3Client } from '@aws-sdk/client-s3'
import { manifestKey } from '@millrace/shared/ledger/object-keys.ts'
import { createLifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { readConfig } from '@millrace/worker/config.ts'
import { createProcessing } from '@millrace/worker/processing/processing.ts'
import { createReport } from '@millrace/worker/processing/report.ts'
import * as assert from 'uvu/assert'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('failing an upload')
let fleet: WorkerFleet
let proxy: S3Proxy
let proxiedS3: S3Client
const log = createLog({ level: 'silent', instance: 'test' })

/** No decoder is needed for it. */
const file = Buffer.from('just text')

test.before(async () => {
  fleet = await startWorkerFleet()
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  proxiedS3 = new S3Client({ endpoint: proxy.endpoint, ...fleet.identity })
})
test.after.each(async () => {
  await fleet.reset()
  proxy.intercept(() => 'pass')
})
test.after(async () => {
  await fleet.close()
  proxiedS3.destroy()
  await proxy.close()
})

const writesManifest = ({ method, path }: SeenRequest) => method === 'PUT' && path.includes('/manifests/')

const unused = async () => {
  throw new Error('No image is rendered.')
}
const decoders = { renderImage: unused, inspectMedia: unused, reserveFile: unused }

/** Fails the upload as a worker does that reaches S3 through the proxy. */
async function fail({ owner, id, arrival }: Upload): Promise<void> {
  const config = readConfig(fleet.environment)
  const limits = {
    quotaLimits: config.quota,
    addressQuotaLimits: config.addressQuota,
    maxBufferedBytes: config.maxBufferedBytes,
  }
  const base = { ...fleet, s3: proxiedS3, config, log, version: '0.0.0', ...limits }
  const { failUpload } = createProcessing({ ...base, lifecycle: createLifecycle(base), decoders })
  const job = { version: 1, owner, id, etag: arrival?.etag ?? '' } as const
  await failUpload(job, new Error('failure'), { log, report: createReport() })
}

async function outcomes(upload: Upload) {
  const { Versions = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: manifestKey(upload) }),
  )
  const manifest = await fleet.manifests.read(upload)
  const record = await fleet.records.find(upload)
  return { versions: Versions.length, manifest: manifest?.outcome, record: record?.upload.state }
}

test('a failure does not overwrite the manifest of a ready upload, and the record becomes ready', async () => {
  await fleet.startWorker()
  const ready = await fleet.finished(await fleet.arrive(file))
  await fleet.records.update(ready, (current) => ({ ...current, state: 'processing' }))
  await fail(ready)
  assert.equal(await outcomes(ready), { versions: 1, manifest: 'ready', record: 'ready' })
})

test('a failure does not overwrite a manifest that is written at the same time', async () => {
  const address = await fleet.arrive(file)
  const slow = await fleet.startWorker({ s3: proxiedS3 })
  const heldReady = proxy.hold(writesManifest)
  const processing = await fleet.finished(address, 'processing')
  await heldReady.arrived
  const heldFailed = proxy.hold(writesManifest)
  const failing = fail(processing)
  await heldFailed.arrived
  heldReady.release()
  await fleet.finished(address, 'ready')
  heldFailed.release()
  await failing
  await slow.close()
  assert.equal(await outcomes(processing), { versions: 1, manifest: 'ready', record: 'ready' })
})

test('a manifest whose response was lost is recognized as written', async () => {
  let writes = 0
  proxy.intercept((seen) => (writesManifest(seen) && ++writes === 1 ? 'cut' : 'pass'))
  const worker = await fleet.startWorker({ s3: proxiedS3 })
  const upload = await fleet.finished(await fleet.arrive(file))
  await worker.close()
  assert.is(writes, 2)
  assert.equal(await outcomes(upload), { versions: 1, manifest: 'ready', record: 'ready' })
})

test.run()
