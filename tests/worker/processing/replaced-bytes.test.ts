import { createHash } from 'node:crypto'
import { S3Client } from '@aws-sdk/client-s3'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('replaced bytes')
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet()
})
test.after.each(() => fleet.reset())
test.after(() => fleet.close())

const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** Pads two files to the same size. Two uploads with one form have the same size, since the form fixes it. */
function padToSameSize(first: Buffer, second: Buffer): [Buffer, Buffer] {
  const size = Math.max(first.length, second.length)
  const padded = (file: Buffer) => Buffer.concat([file, Buffer.alloc(size - file.length)])
  return [padded(first), padded(second)]
}

test('an upload that was replaced before processing is finished with the newest bytes', async () => {
  const [first, second] = [Buffer.from('first text'), Buffer.from('other text')]
  const address = await fleet.arrive(first)
  await fleet.arrive(second, address)
  await fleet.startWorker()
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.findings.sha256], ['ready', sha256(second)])
})

test('bytes that replace a finished upload are inspected again', async () => {
  await fleet.startWorker()
  const [first, second] = padToSameSize(await sampleImage('image/png', 40, 30), Buffer.from('just text'))
  const address = await fleet.arrive(first)
  await fleet.finished(address)
  fleet.changes.clear()
  await fleet.arrive(second, address)
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.findings, upload.variants], ['ready', { sha256: sha256(second) }, []])
  assert.is((await fleet.manifests.read(address))?.findings.sha256, sha256(second))
})

test('a job whose original was deleted ends without a record or a manifest', async () => {
  await fleet.startWorker()
  const deleted = { owner: 's-tester', id: '01890a5d-ac96-774b-bcce-b302099a8057' }
  await fleet.queue.add({ ...deleted, etag: 'd41d8cd98f00b204e9800998ecf8427e' })
  const address = await fleet.arrive(Buffer.from('just text'))
  assert.is((await fleet.finished(address)).state, 'ready')
  assert.is(await fleet.records.find(deleted), undefined)
  assert.is(await fleet.manifests.read(deleted), undefined)
})

test('variants of newer bytes that a slow worker overwrote are written again', async () => {
  const proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  const slowS3 = new S3Client({ endpoint: proxy.endpoint, ...fleet.identity })
  // The write of the older bytes' largest variant is delayed until the newer bytes are done, and then overwrites theirs.
  const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('w1920'))
  const slowWorker = await fleet.startWorker({ s3: slowS3 })
  const [first, second] = padToSameSize(
    await sampleImage('image/png', 400, 300),
    await sampleImage('image/png', 300, 400),
  )
  const address = await fleet.arrive(first)
  await held.arrived
  await fleet.startWorker()
  await fleet.arrive(second, address)
  const newer = await fleet.finished(address)
  assert.is(newer.findings.sha256, sha256(second))

  held.release()
  await slowWorker.close()
  const manifest = await fleet.manifests.read(address)
  assert.equal(manifest?.findings, newer.findings)
  for (const { key, width, height } of newer.variants) {
    const metadata = await sharp(await fleet.object(key)).metadata()
    assert.equal([metadata.width, metadata.height], [width, height], key)
  }
  const stored = await fleet.records.find(address)
  assert.equal([stored?.upload.state, stored?.upload.findings], ['ready', newer.findings])
  slowS3.destroy()
  await proxy.close()
})

test.run()
