import { createHash } from 'node:crypto'
import { HeadObjectCommand } from '@aws-sdk/client-s3'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import {
  damaged,
  decompressionBomb,
  phonePhoto,
  quarters,
  sampleImage,
  truncated,
} from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('process upload')
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet()
  await fleet.startWorker()
})
test.after(() => fleet.close())

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test("a file of a type that its upload's token does not accept is rejected, and one that it accepts is ready", async () => {
  const accept = ['image/*']
  const text = await fleet.finished(await fleet.arrive(Buffer.from('just text'), { accept }))
  assert.equal([text.state, text.error?.code], ['rejected', 'type_not_allowed'])
  const image = await fleet.arrive(await sampleImage('image/png'), { accept })
  assert.is((await fleet.finished(image)).state, 'ready')
})

test('a photo becomes ready with all variants, findings and a manifest', async () => {
  const bytes = await phonePhoto(1200, 900)
  const address = await fleet.arrive(bytes, { filename: 'Größe 😀.jpg', metadata: { album: 'été' } })
  const upload = await fleet.finished(address)

  assert.is(upload.state, 'ready')
  assert.equal(fleet.changes.states(address.id), ['received', 'processing', 'ready'])
  const { placeholder, dominantColor, perceptualHash, ...findings } = upload.findings
  assert.equal(findings, { detectedType: 'image/jpeg', sha256: sha256(bytes), width: 900, height: 1200 })
  assert.is(Buffer.from(placeholder ?? '', 'base64').length > 10, true)
  assert.match(`${dominantColor} ${perceptualHash}`, /^#[0-9a-f]{6} [0-9a-f]{16}$/)
  assert.is(upload.intent.filename, 'Größe 😀.jpg')
  assert.equal(upload.intent.metadata, { album: 'été' })
  assert.equal(
    upload.variants.map(({ name, width, height, contentType }) => [name, width, height, contentType]),
    [
      ['w1920', 900, 1200, 'image/webp'],
      ['w960', 900, 1200, 'image/webp'],
      ['w320', 320, 427, 'image/webp'],
      ['thumbnail', 200, 200, 'image/jpeg'],
    ],
  )
  for (const { key, width, height, size, contentType } of upload.variants) {
    const body = await fleet.object(key)
    const metadata = await sharp(body).metadata()
    assert.equal([metadata.width, metadata.height, body.length], [width, height, size])
    assert.is(metadata.exif, undefined)
    assert.is(await quarters(body), 'blue red yellow green', 'upright')
    const head = await fleet.s3.send(new HeadObjectCommand({ Bucket: fleet.bucket, Key: key }))
    assert.is(head.ContentType, contentType)
    assert.is(head.CacheControl, 'max-age=31536000, immutable')
  }
  const { key = '', sha256: digest = '' } = upload.variants[3] ?? {}
  const [, version] = /\/([0-9a-f]{16})\/[^/]+$/.exec(key) ?? []
  assert.is(key, `variants/s-tester/${address.id}/${version}/thumbnail.${digest.slice(0, 16)}.jpg`)

  const manifest = await fleet.manifests.read(address)
  assert.is(manifest?.outcome, 'ready')
  assert.equal(manifest?.variants, upload.variants)
  assert.equal(manifest?.findings, upload.findings)
  assert.equal(manifest?.arrival, upload.arrival)
})

const archive = Buffer.from('PK\x05\x06'.padEnd(22, '\0'), 'latin1')
const plainFiles: [string, Buffer, string | undefined][] = [
  ['HTML', Buffer.from('<!doctype html><script>alert(1)</script>'), 'text/html'],
  ['a ZIP', archive, 'application/zip'],
  ['an empty file', Buffer.alloc(0), undefined],
  ['more than one chunk of text', Buffer.alloc(300_000, 'text '), 'text/plain'],
  ['more than one chunk of other bytes', Buffer.alloc(300_000, '\x01\x02'), undefined],
]
for (const [name, bytes, detectedType] of plainFiles) {
  test(`${name} becomes ready without variants`, async () => {
    const upload = await fleet.finished(await fleet.arrive(bytes))
    assert.is(upload.state, 'ready')
    assert.equal(upload.variants, [])
    assert.equal(upload.findings, { ...(detectedType && { detectedType }), sha256: sha256(bytes) })
  })
}

test('the file type is detected from the bytes, not from the name or the declared type', async () => {
  const png = await sampleImage('image/png')
  const upload = await fleet.finished(
    await fleet.arrive(png, { filename: 'invoice.pdf', contentType: 'application/pdf' }),
  )
  assert.equal([upload.state, upload.findings.detectedType], ['ready', 'image/png'])
  assert.is(upload.variants.length, 4)
})

test('a polyglot file is processed by its first bytes only', async () => {
  const polyglot = Buffer.concat([
    await sampleImage('image/jpeg'),
    Buffer.from('PK\x03\x04<script>alert(1)</script>'),
  ])
  const upload = await fleet.finished(await fleet.arrive(polyglot))
  assert.is(upload.findings.detectedType, 'image/jpeg')
  for (const { key } of upload.variants) assert.is((await fleet.object(key)).includes('script'), false)
})

test('a damaged image is rejected with a readable message and its findings, and the next image is processed', async () => {
  const whole = await sampleImage('image/jpeg')
  const cases: [Buffer, string, RegExp][] = [
    [truncated(whole), 'image_corrupt', /^The JPEG is incomplete/],
    [damaged(await sampleImage('image/png')), 'image_corrupt', /^The PNG is damaged/],
    [Buffer.from('GIF89a'), 'image_corrupt', /^The GIF is /],
    [decompressionBomb(), 'image_too_many_pixels', /more than 268,402,689 pixels/],
  ]
  for (const [bytes, code, sentence] of cases) {
    const address = await fleet.arrive(bytes)
    const upload = await fleet.finished(address)
    assert.equal([upload.state, upload.error?.code], ['rejected', code])
    assert.match(upload.error?.message ?? '', sentence)
    assert.equal(upload.variants, [])
    assert.is(upload.findings.sha256, sha256(bytes))
    assert.is((await fleet.manifests.read(address))?.outcome, 'rejected')
  }
  assert.is((await fleet.finished(await fleet.arrive(whole))).state, 'ready')
})

test('a file with another size than announced is rejected', async () => {
  const announced = await fleet.announce(Buffer.alloc(1000))
  await fleet.arrive(Buffer.alloc(999), announced)
  const upload = await fleet.finished(announced)
  assert.equal(
    [upload.state, upload.error?.code, upload.error?.message],
    ['rejected', 'size_mismatch', 'The file that arrived has 999 bytes; 1000 were announced.'],
  )
})

test('a file with another SHA-256 than announced is rejected', async () => {
  const declaredSha256 = sha256(archive)
  assert.is((await fleet.finished(await fleet.arrive(archive, { declaredSha256 }))).state, 'ready')
  for (const file of [Buffer.from('%PDF-1.4'), await sampleImage('image/png')]) {
    const upload = await fleet.finished(await fleet.arrive(file, { declaredSha256 }))
    assert.equal([upload.state, upload.error?.code], ['rejected', 'checksum_mismatch'])
    assert.is(upload.findings.sha256, sha256(file))
    assert.equal(upload.variants, [])
  }
})

test('an upload with an unknown preset fails', async () => {
  const upload = await fleet.finished(await fleet.arrive(archive, { preset: 'no-such' }))
  assert.equal([upload.state, upload.error?.code], ['failed', 'preset_unknown'])
})

test('an announced upload goes from awaiting to ready', async () => {
  const bytes = await sampleImage('image/webp')
  const announced = await fleet.announce(bytes, { filename: 'announced.webp' })
  await fleet.arrive(bytes, { ...announced, filename: 'other.webp' })
  const upload = await fleet.finished(announced)
  assert.equal(fleet.changes.states(announced.id), ['awaiting', 'received', 'processing', 'ready'])
  assert.is(upload.intent.filename, 'announced.webp', 'the announced name takes precedence')
})

test('a worker processes many uploads at a time', async () => {
  const images = await Promise.all(
    Array.from({ length: 12 }, (_, i) => sampleImage('image/jpeg', 64 + i, 48)),
  )
  const addresses = await Promise.all(images.map((bytes) => fleet.arrive(bytes)))
  const uploads = await Promise.all(addresses.map((address) => fleet.finished(address)))
  assert.equal(
    uploads.map(({ state, findings }) => [state, findings.sha256]),
    images.map((bytes) => ['ready', sha256(bytes)]),
  )
})

test('a second job for the same bytes changes nothing', async () => {
  const address = await fleet.arrive(await sampleImage('image/png'))
  const upload = await fleet.finished(address)
  const before = await fleet.manifests.read(address)
  await fleet.queue.add({ ...address, etag: upload.arrival?.etag ?? '' })
  // Changes arrive in order. So when the next uploads are done, any change by the second job has arrived.
  await fleet.finished(await fleet.arrive(archive))
  await fleet.finished(await fleet.arrive(archive))
  assert.equal(await fleet.manifests.read(address), before)
  assert.equal(fleet.changes.states(address.id), ['received', 'processing', 'ready'])
})

test.run()
