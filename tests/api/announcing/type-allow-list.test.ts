import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListObjectsV2Command, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { originalKey, uploadVariantsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { onePagePdf } from '../../worker/support/pdf-builder.ts'
import { sampleImage } from '../../worker/support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('type allow-list')
const directory = mkdtempSync(join(tmpdir(), 'millrace-presets-'))
const PRESETS_FILE = join(directory, 'presets.json')
const pdf = onePagePdf()
let fleet: WorkerFleet

test.before(async () => {
  const variants = [{ name: 'tiny', fit: 'inside', width: 16, format: 'webp', quality: 80 }]
  const presets = [
    { name: 'photo', accept: ['image/*'], variants },
    { name: 'paper', accept: ['application/pdf', 'image/png'], variants: [] },
  ]
  writeFileSync(PRESETS_FILE, JSON.stringify(presets))
  fleet = await startWorkerFleet({ environment: { PRESETS_FILE } })
  await fleet.startWorker()
})
test.after(async () => {
  await fleet.close()
  rmSync(directory, { recursive: true })
})

/** Whether S3 has any version of the original. */
async function hasOriginal(address: UploadAddress): Promise<boolean> {
  const { Versions = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: originalKey(address) }),
  )
  return Versions.length > 0
}

test('a file whose type the preset accepts becomes ready', async () => {
  const png = await sampleImage('image/png')
  const photo = await fleet.arrive(png, { preset: 'photo' })
  const upload = await fleet.finished(photo)
  assert.is(upload.state, 'ready')
  assert.equal(
    upload.variants.map(({ name }) => name),
    ['tiny'],
  )
  const paper = await fleet.arrive(pdf, { preset: 'paper' })
  assert.is((await fleet.finished(paper)).state, 'ready')
  assert.equal([await hasOriginal(photo), await hasOriginal(paper)], [true, true])
})

test('an image of a preset without variants is measured and gets a placeholder', async () => {
  const png = await sampleImage('image/png')
  const upload = await fleet.finished(await fleet.arrive(png, { preset: 'paper' }))
  assert.is(upload.state, 'ready')
  assert.equal(upload.variants, [])
  assert.ok(upload.findings.width && upload.findings.placeholder)
})

test('a file whose detected type the preset does not accept is rejected and deleted', async () => {
  const cases: [string, Buffer, string][] = [
    ['photo', pdf, 'The file type is application/pdf; accepted: image/*.'],
    ['photo', Buffer.from('words'), 'The file type is text/plain; accepted: image/*.'],
    [
      'paper',
      await sampleImage('image/jpeg'),
      'The file type is image/jpeg; accepted: application/pdf, image/png.',
    ],
  ]
  for (const [preset, bytes, message] of cases) {
    const address = await fleet.arrive(bytes, { preset, filename: 'a.png', contentType: 'image/png' })
    const upload = await fleet.finished(address)
    assert.is(upload.state, 'rejected')
    assert.equal(upload.error, { code: 'type_not_allowed', message })
    assert.is(await hasOriginal(address), false)
    const variants = await fleet.s3.send(
      new ListObjectsV2Command({ Bucket: fleet.bucket, Prefix: uploadVariantsPrefix(address) }),
    )
    assert.is(variants.KeyCount, 0)
  }
})

test('a file whose detected type its upload token does not accept is rejected and deleted', async () => {
  const [png, jpeg] = [await sampleImage('image/png'), await sampleImage('image/jpeg')]
  const accept = ['image/png', 'application/pdf']
  const cases: [preset: string, bytes: Buffer, problem: string | undefined][] = [
    ['photo', png, undefined],
    ['photo', jpeg, 'The file type is image/jpeg; accepted: image/png, application/pdf.'],
    ['photo', pdf, 'The file type is application/pdf; accepted: image/*.'],
    ['default', Buffer.from('words'), 'The file type is text/plain; accepted: image/png, application/pdf.'],
  ]
  for (const [preset, bytes, problem] of cases) {
    const address = await fleet.arrive(bytes, { preset, accept, contentType: 'image/png' })
    const upload = await fleet.finished(address)
    assert.is(upload.error?.message, problem)
    assert.is(upload.state, problem === undefined ? 'ready' : 'rejected')
    assert.is(await hasOriginal(address), problem === undefined)
  }
})

test('a file of another size or SHA-256 than announced is deleted, a damaged image is not', async () => {
  const short = await fleet.announce(Buffer.alloc(1000))
  await fleet.arrive(Buffer.alloc(999), short)
  const changed = await fleet.arrive(pdf, { declaredSha256: 'a'.repeat(64) })
  const damaged = await fleet.arrive(Buffer.from('GIF89a'))
  const codes: unknown[] = []
  for (const address of [short, changed, damaged]) codes.push((await fleet.finished(address)).error?.code)
  assert.equal(codes, ['size_mismatch', 'checksum_mismatch', 'image_corrupt'])
  assert.equal(
    [await hasOriginal(short), await hasOriginal(changed), await hasOriginal(damaged)],
    [false, false, true],
  )
})

test('an upload becomes ready if accepted bytes arrive after rejected ones', async () => {
  const png = await sampleImage('image/png')
  const paddedPdf = Buffer.concat([pdf, Buffer.alloc(png.length - pdf.length)])
  const address = await fleet.arrive(paddedPdf, { preset: 'photo' })
  await fleet.finished(address, 'rejected')
  await fleet.arrive(png, { ...address, preset: 'photo' })
  const upload = await fleet.finished(address, 'ready')
  assert.is(upload.variants.length, 1)
  assert.is(await hasOriginal(address), true)
})

test('rejected bytes that arrive a second time are deleted again', async () => {
  const address = await fleet.arrive(pdf, { preset: 'photo' })
  await fleet.finished(address, 'rejected')
  fleet.changes.clear()
  await fleet.arrive(pdf, { ...address, preset: 'photo' })
  await fleet.finished(address, 'rejected')
  assert.is(await hasOriginal(address), false)
})

test('a rejected upload keeps its error after its bytes were deleted and Redis lost the record', async () => {
  const address = await fleet.arrive(pdf, { preset: 'photo', owner: 's-lost' })
  const rejected = await fleet.finished(address, 'rejected')
  await fleet.redis.del(...(await fleet.redis.keys(`${fleet.prefix}:{s-lost}:*`)))
  const { lookup, receiveUpload } = createTestLifecycle(fleet)
  const found = await lookup.find(address)
  assert.equal({ ...found?.upload, updatedAt: '' }, { ...rejected, updatedAt: '' })
  assert.is((await receiveUpload(address))?.upload.state, 'rejected', 'also for a late event')
})

test('POST /uploads accepts only presets of PRESETS_FILE and the built-in one', async () => {
  const api = await startApiInstances({ environment: { PRESETS_FILE } })
  try {
    const client = createHttpClient(api.url)
    const file = { filename: 'a', contentType: 'a/b', size: 1 }
    const refused = await client.post('/uploads', { ...file, preset: 'other' })
    assert.match(bodyOf(refused, Problem).detail, /allowed: default, photo, paper\.$/)
    assert.is((await client.post('/uploads', { ...file, preset: 'photo' })).status, 201)
  } finally {
    await api.close()
  }
})

test.run()
