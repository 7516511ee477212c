import { createHash } from 'node:crypto'
import { S3Client } from '@aws-sdk/client-s3'
import { processUploadJobId } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Evidence } from '@millrace/shared/ledger/evidence.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { Queue } from 'bullmq'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { type ProxyAction, type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { mediaFile } from '../support/media-files.ts'
import { onePagePdf } from '../support/pdf-builder.ts'
import { damaged, sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('evidence')
/** The largest manifest of an image with the default preset, in bytes. */
const maxManifestBytes = 4_000
let fleet: WorkerFleet
let proxy: S3Proxy
let proxiedS3: S3Client
let queue: Queue

test.before(async () => {
  fleet = await startWorkerFleet({ environment: { MAX_IMAGE_PIXELS: '1000000' } })
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  proxiedS3 = new S3Client({ endpoint: proxy.endpoint, ...fleet.identity, maxAttempts: 1 })
  queue = new Queue('uploads', { connection: fleet.redis, prefix: fleet.prefix })
  await fleet.startWorker({ s3: proxiedS3 })
})
test.after(async () => {
  await queue.close()
  await fleet.close()
  proxiedS3.destroy()
  await proxy.close()
})
test.after.each(() => proxy.intercept(() => 'pass'))

async function evidenceOf(address: UploadAddress): Promise<Evidence> {
  await fleet.finished(address)
  const manifest = await fleet.manifests.read(address)
  assert.ok(manifest?.evidence)
  assert.ok(JSON.stringify(manifest).length < maxManifestBytes, `${JSON.stringify(manifest).length} bytes`)
  return manifest.evidence
}

const results = ({ checks }: Evidence) => Object.fromEntries(checks.map(({ name, result }) => [name, result]))
const step = ({ steps }: Evidence, name: string) => steps.find((one) => one.name === name)
const isWrite = ({ method, path }: SeenRequest) => method === 'PUT' && path.includes('/variants/')

/** Adds an upload whose job has so many attempts and no pause between them. @param decide about the worker's requests */
async function arriveWithJob(
  bytes: Buffer,
  attempts: number,
  decide: (seen: SeenRequest) => ProxyAction,
): Promise<UploadAddress> {
  const address = await fleet.announce(bytes)
  // The worker gets the event and would add a job with the default attempts, so it waits for this one.
  const added = Promise.withResolvers<void>()
  proxy.intercept(async (seen) => {
    if (seen.path.includes(address.id)) await added.promise
    return decide(seen)
  })
  await fleet.arrive(bytes, address)
  const original = await createOriginals(fleet).find(address)
  const job = { version: 1, ...address, etag: original?.arrival.etag ?? '' }
  await queue.add('process-upload', job, { jobId: processUploadJobId(job), attempts })
  added.resolve()
  return address
}

test('the manifest of a photo has the checks, limits, tools and steps that led to its variants', async () => {
  const bytes = await sampleImage('image/jpeg', 400, 300)
  const declaredSha256 = createHash('sha256').update(bytes).digest('hex')
  const address = await fleet.arrive(bytes, { declaredSha256 })
  const evidence = await evidenceOf(address)
  assert.is(evidence.attempt, 1)
  const { receivedAt = '', startedAt = '' } = evidence
  const { createdAt = '', finishedAt = '' } = (await fleet.manifests.read(address)) ?? {}
  assert.ok(createdAt <= receivedAt && receivedAt <= finishedAt, `received at ${receivedAt}`)
  assert.ok(startedAt !== '' && startedAt <= finishedAt, `started at ${startedAt}`)
  assert.equal(results(evidence), {
    size: 'passed',
    'image-bytes': 'passed',
    sha256: 'passed',
    structure: 'passed',
    pixels: 'passed',
    decoding: 'passed',
  })
  const { decoderMemoryBytes = 0, ...limits } = evidence.limits
  assert.ok(decoderMemoryBytes > 0)
  assert.equal(limits, {
    maxImageBytes: 256 * 1024 ** 2,
    maxImagePixels: 1_000_000,
    decoderCpuMs: 60_000,
    decoderTimeMs: 300_000,
  })
  const { sharp: sharpVersion, vips, mozjpeg, webp } = sharp.versions
  assert.equal(evidence.tools, {
    millrace: '0.1.0',
    node: process.versions.node,
    sharp: sharpVersion,
    vips,
    mozjpeg,
    webp,
  })
  assert.is(step(evidence, 'read')?.bytes, bytes.length)
  const manifest = await fleet.manifests.read(address)
  const written = manifest?.variants.reduce((sum, { size }) => sum + size, 0)
  assert.is(step(evidence, 'write')?.bytes, written)
  assert.type(step(evidence, 'render')?.cpuMs, 'number')
  assert.is(manifest?.variants.length, defaultPreset.variants.length)
  for (const { sha256 } of manifest?.variants ?? []) assert.match(sha256 ?? '', /^[0-9a-f]{64}$/)
})

test('a manifest names the decoder of a document and the parser of a recording', async () => {
  const pdf = await evidenceOf(await fleet.arrive(onePagePdf({})))
  assert.match(pdf.tools['@hyzyla/pdfium'] ?? '', /^\d+\.\d+\.\d+$/)
  const audio = await evidenceOf(await fleet.arrive(await mediaFile('wav-pcm.wav')))
  assert.equal(Object.keys(audio.tools), ['millrace', 'node', 'mediabunny'])
})

test('the manifest of a file that is stored as it is names no decoder', async () => {
  const evidence = await evidenceOf(await fleet.arrive(Buffer.from('PK\x05\x06'.padEnd(22, '\0'), 'latin1')))
  assert.equal(Object.keys(evidence.tools), ['millrace', 'node'])
  assert.equal(results(evidence), { size: 'passed' })
  assert.equal(evidence.limits, {})
})

test('the manifest of a rejected image has the check that failed, its cause, and what was known before', async () => {
  const cases: [Buffer, string, Record<string, string>][] = [
    [Buffer.from('GIF89a'), 'structure', {}],
    [damaged(await sampleImage('image/png')), 'decoding', { structure: 'passed', pixels: 'passed' }],
    [await sampleImage('image/png', 1001, 1000), 'pixels', {}],
  ]
  for (const [bytes, name, earlier] of cases) {
    const address = await fleet.arrive(bytes)
    const evidence = await evidenceOf(address)
    assert.equal(results(evidence), { size: 'passed', 'image-bytes': 'passed', ...earlier, [name]: 'failed' })
    assert.ok(evidence.tools['vips'])
    assert.ok(step(evidence, 'render'))
    assert.is((await fleet.manifests.read(address))?.findings.sha256?.length, 64)
  }
})

test('the manifest of a file that differs from its announcement has the failed check', async () => {
  const bytes = await sampleImage('image/jpeg')
  const other = await fleet.arrive(bytes, { declaredSha256: '0'.repeat(64) })
  assert.is(results(await evidenceOf(other))['sha256'], 'failed')
  const announced = await fleet.announce(Buffer.alloc(1_000))
  await fleet.arrive(Buffer.alloc(999), announced)
  assert.equal(results(await evidenceOf(announced)), { size: 'failed' })
})

test('the evidence of a retried job tells its attempt', async () => {
  let refused = 0
  const address = await arriveWithJob(await sampleImage('image/png'), 3, (seen) =>
    isWrite(seen) && ++refused === 1 ? 'invalid' : 'pass',
  )
  assert.is((await evidenceOf(address)).attempt, 2)
})

test('the manifest of a failed upload has the attempts, the last error and the steps of the last attempt', async () => {
  const address = await arriveWithJob(await sampleImage('image/png'), 2, (seen) =>
    isWrite(seen) ? 'invalid' : 'pass',
  )
  const evidence = await evidenceOf(address)
  assert.is((await fleet.manifests.read(address))?.outcome, 'failed')
  assert.is(evidence.attempt, 2)
  assert.equal(evidence.lastError, { code: 'InvalidRequest' })
  assert.is(results(evidence)['decoding'], 'passed')
  assert.ok(step(evidence, 'write'))
})

test.run()
