import { createHash } from 'node:crypto'
import { ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { createDownloadSigner } from '@millrace/api/downloads/sign-download.ts'
import { createUrlSigner } from '@millrace/api/signing/sign-url.ts'
import { createReprocessUpload } from '@millrace/api/uploads/reprocess-upload.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { builtInPresets } from '@millrace/shared/presets/preset.ts'
import type { Environment } from '@millrace/shared/service/environment.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { type FakeClamd, startFakeClamd, testSignature } from '../support/fake-clamd.ts'
import { inspectSecret, startFakeInspector } from '../support/fake-inspector.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('scanned uploads')
const malware = Buffer.concat([Buffer.alloc(100_000, 'text '), Buffer.from(testSignature)])
let fleet: WorkerFleet
let clamd: FakeClamd
let closeWorker: () => Promise<void> = async () => {}

test.before(async () => {
  fleet = await startWorkerFleet()
})
test.after(() => fleet.close())
test.before.each(async () => {
  clamd = await startFakeClamd()
})
test.after.each(async () => {
  clamd.release()
  await closeWorker()
  await clamd.close()
})

async function startWorker(environment: Environment = {}): Promise<void> {
  const worker = await fleet.startWorker({ environment: { CLAMD_URL: clamd.url, ...environment } })
  closeWorker = worker.close
}

const checksOf = async (address: UploadAddress) => (await fleet.manifests.read(address))?.evidence?.checks

async function versionsUnder(prefix: string): Promise<number> {
  const { Versions = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: prefix }),
  )
  return Versions.length
}

test('files are scanned as they are, and the manifest says by which clamd', async () => {
  await startWorker()
  const files = [await sampleImage('image/png'), Buffer.alloc(300_000, 'text '), Buffer.alloc(0)]
  for (const bytes of files) {
    const address = await fleet.arrive(bytes)
    assert.is((await fleet.finished(address)).state, 'ready')
    assert.equal(
      (await checksOf(address))?.find(({ name }) => name === 'clamd'),
      { name: 'clamd', result: 'passed', detail: 'ClamAV 1.0.0-fake/1/today' },
    )
    assert.is(clamd.files.at(-1)?.bytes.equals(bytes), true)
  }
  assert.is(clamd.scans(), files.length)
})

test('malware is rejected before it is decoded, and its bytes are deleted', async () => {
  await startWorker()
  const image = Buffer.concat([await sampleImage('image/png'), Buffer.from(testSignature)])
  for (const bytes of [malware, image]) {
    const address = await fleet.arrive(bytes)
    const upload = await fleet.finished(address)
    assert.is(upload.state, 'rejected')
    assert.equal(upload.error, {
      code: 'malware_found',
      message: 'The virus scanner found malware: Millrace.Test.',
    })
    assert.is(upload.findings.sha256, createHash('sha256').update(bytes).digest('hex'))
    assert.equal(upload.findings.width, undefined, 'nothing was decoded')
    assert.is(await versionsUnder(originalKey(address)), 0)
    assert.is(await versionsUnder(`variants/${address.owner}/${address.id}/`), 0)
    assert.equal(
      (await checksOf(address))?.find(({ name }) => name === 'clamd'),
      { name: 'clamd', result: 'failed', detail: 'Millrace.Test; ClamAV 1.0.0-fake/1/today' },
    )
  }
})

test('nothing of a file is rendered or served before clamd has decided', async () => {
  clamd.setMode('hold')
  await startWorker()
  const address = await fleet.arrive(await sampleImage('image/png'))
  await clamd.untilScans(1)
  const { upload } = (await fleet.records.find(address)) ?? {}
  assert.is(upload?.state, 'processing')
  const { s3, bucket } = fleet
  const downloads = createDownloadSigner({
    signer: createUrlSigner({ s3, bucket }),
    originals: createOriginals({ s3, bucket }),
  })
  if (!upload) throw new Error('The upload has no record.')
  const requests = [downloads.original(upload), downloads.variant(upload, 'w320')]
  const results = await Promise.allSettled(requests)
  const codes = results.map((result) => result.status === 'rejected' && result.reason.code)
  assert.equal(codes, ['upload_not_ready', 'upload_not_ready'])
  assert.is(await versionsUnder(`variants/${address.owner}/${address.id}/`), 0)
  clamd.release()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test('no more files are sent to clamd at once than SCAN_SLOTS', async () => {
  clamd.setMode('hold')
  await startWorker({ SCAN_SLOTS: '2', WORKER_SLOTS: '4' })
  const addresses = await Promise.all(
    Array.from({ length: 4 }, (_, i) => fleet.arrive(Buffer.from(`text ${i}`))),
  )
  for (const address of addresses) await fleet.finished(address, 'processing')
  await clamd.untilScans(2)
  clamd.setMode('scan')
  clamd.release()
  for (const address of addresses) assert.is((await fleet.finished(address)).state, 'ready')
  assert.equal([clamd.maxActive(), clamd.scans()], [2, 4])
})

test('a file above SCAN_MAX_BYTES is rejected and stays, or is served if SCAN_LARGE_FILES says so', async () => {
  const file = Buffer.alloc(2_000, 'text ')
  await startWorker({ SCAN_MAX_BYTES: '1999' })
  const rejected = await fleet.arrive(file)
  assert.equal((await fleet.finished(rejected)).error, {
    code: 'too_large_to_scan',
    message: 'The file has 2000 bytes, which is too large for the virus scanner.',
  })
  assert.is(await versionsUnder(originalKey(rejected)), 1)
  await closeWorker()

  await startWorker({ SCAN_MAX_BYTES: '1999', SCAN_LARGE_FILES: 'accept' })
  const accepted = await fleet.arrive(file)
  assert.is((await fleet.finished(accepted)).state, 'ready')
  assert.equal(
    (await checksOf(accepted))?.find(({ name }) => name === 'clamd'),
    {
      name: 'clamd',
      result: 'skipped',
      detail: 'The file has 2000 bytes, and files above 1999 bytes are not scanned.',
    },
  )
  assert.is(clamd.scans(), 0)

  // With the new setting, the rejected file is processed again on request, although its recipe is the same.
  const { records, manifests, queue } = fleet
  const stored = await records.find(rejected)
  if (!stored) throw new Error('The upload has no record.')
  const originals = createOriginals(fleet)
  fleet.changes.clear()
  await createReprocessUpload({ records, originals, manifests, queue, presets: builtInPresets })(
    stored.upload,
  )
  assert.is((await fleet.finished(rejected)).state, 'ready')
})

test("a file above clamd's own limit is treated in the same way", async () => {
  const limited = await startFakeClamd({ maxBytes: 1_000 })
  await startWorker({ CLAMD_URL: limited.url })
  const address = await fleet.arrive(Buffer.alloc(2_000, 'text '))
  assert.is((await fleet.finished(address)).error?.code, 'too_large_to_scan')
  await limited.close()
})

test('an inspector sees what was found, reads exactly this version, and decides', async () => {
  const contents: string[] = []
  const inspector = await startFakeInspector(async ({ url, filename }, response) => {
    contents.push(await (await fetch(url)).text())
    const refused = { decision: 'reject', reason: ' Only receipts,\n please. ' }
    response.end(JSON.stringify(filename === 'receipt.txt' ? { decision: 'accept' } : refused))
  })
  await startWorker({ INSPECT_URL: inspector.url, INSPECT_SECRET: inspectSecret })
  const bytes = Buffer.from('12.50 EUR')
  const accepted = await fleet.arrive(bytes, { filename: 'receipt.txt', metadata: { shop: '7' } })
  assert.is((await fleet.finished(accepted)).state, 'ready')
  const [asked] = inspector.questions
  const { url, ...question } = asked ?? { url: '' }
  assert.equal(question, {
    ...accepted,
    filename: 'receipt.txt',
    contentType: 'image/jpeg',
    detectedType: 'text/plain',
    size: 9,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    metadata: { shop: '7' },
  })
  const stored = await fleet.records.find(accepted)
  assert.is(new URL(url).searchParams.get('versionId'), stored?.upload.arrival?.versionId)
  assert.is(new URL(url).searchParams.get('X-Amz-Expires'), '90')
  assert.equal(
    (await checksOf(accepted))?.filter(({ name }) => name === 'clamd' || name === 'inspector'),
    [
      { name: 'clamd', result: 'passed', detail: 'ClamAV 1.0.0-fake/1/today' },
      { name: 'inspector', result: 'passed' },
    ],
  )

  const refused = await fleet.arrive(Buffer.from('a novel'), { filename: 'novel.txt' })
  assert.equal((await fleet.finished(refused)).error, {
    code: 'inspection_refused',
    message: 'Only receipts, please.',
  })
  assert.is(await versionsUnder(originalKey(refused)), 0)
  assert.equal(contents, ['12.50 EUR', 'a novel'])

  await fleet.finished(await fleet.arrive(malware))
  assert.is(inspector.questions.length, 2, 'it is not asked about malware')
  inspector.close()
})

test.run()
