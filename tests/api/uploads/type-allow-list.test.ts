import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListObjectsV2Command, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/http/problem.ts'
import { createEraseObjects } from '@millrace/shared/ledger/erase-objects.ts'
import { originalKey, uploadVariantsPrefix } from '@millrace/shared/ledger/object-keys.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { createReceiveUpload } from '@millrace/shared/lifecycle/receive-upload.ts'
import { createUploadLookup } from '@millrace/shared/lifecycle/upload-lookup.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'
import { sampleImage } from '../../worker/support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('type allow-list')
const directory = mkdtempSync(join(tmpdir(), 'millrace-presets-'))
const PRESETS_FILE = join(directory, 'presets.json')
const pdf = Buffer.from('%PDF-1.7\n1 0 obj\n<<>>\nendobj\n')
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

/** Whether S3 has any version of it. */
async function hasOriginal(address: UploadAddress): Promise<boolean> {
  const { Versions = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: originalKey(address) }),
  )
  return Versions.length > 0
}

test('takes what is on the list', async () => {
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

test('measures an image of which nothing is to be made', async () => {
  const png = await sampleImage('image/png')
  const upload = await fleet.finished(await fleet.arrive(png, { preset: 'paper' }))
  assert.is(upload.state, 'ready')
  assert.equal(upload.variants, [])
  assert.ok(upload.findings.width && upload.findings.placeholder)
})

test('rejects by the bytes, whatever name and type were declared, and deletes them', async () => {
  const cases: [string, Buffer, string][] = [
    ['photo', pdf, 'The file is application/pdf; accepted is image/*.'],
    ['photo', Buffer.from('words'), 'The file is of no known type; accepted is image/*.'],
    [
      'paper',
      await sampleImage('image/jpeg'),
      'The file is image/jpeg; accepted is application/pdf, image/png.',
    ],
  ]
  for (const [preset, bytes, message] of cases) {
    const address = await fleet.arrive(bytes, { preset, filename: 'a.png', contentType: 'image/png' })
    const upload = await fleet.finished(address)
    assert.is(upload.state, 'rejected')
    assert.equal(upload.error, { code: 'type_not_allowed', message })
    assert.is(await hasOriginal(address), false)
    const made = await fleet.s3.send(
      new ListObjectsV2Command({ Bucket: fleet.bucket, Prefix: uploadVariantsPrefix(address) }),
    )
    assert.is(made.KeyCount, 0)
  }
})

test('deletes what is not of the announced size or SHA-256, and keeps what is only damaged', async () => {
  const short = await fleet.announce(Buffer.alloc(1000))
  await fleet.arrive(Buffer.alloc(999), short)
  const other = await fleet.arrive(pdf, { declaredSha256: 'a'.repeat(64) })
  const damaged = await fleet.arrive(Buffer.from('GIF89a'))
  const codes: unknown[] = []
  for (const address of [short, other, damaged]) codes.push((await fleet.finished(address)).error?.code)
  assert.equal(codes, ['size_mismatch', 'checksum_mismatch', 'image_corrupt'])
  assert.equal(
    [await hasOriginal(short), await hasOriginal(other), await hasOriginal(damaged)],
    [false, false, true],
  )
})

test('takes the right bytes after the wrong ones', async () => {
  const png = await sampleImage('image/png')
  const wrong = Buffer.concat([pdf, Buffer.alloc(png.length - pdf.length)])
  const address = await fleet.arrive(wrong, { preset: 'photo' })
  await fleet.finished(address, 'rejected')
  await fleet.arrive(png, { ...address, preset: 'photo' })
  const upload = await fleet.finished(address, 'ready')
  assert.is(upload.variants.length, 1)
  assert.is(await hasOriginal(address), true)
})

test('deletes the same bytes again when they come again', async () => {
  const address = await fleet.arrive(pdf, { preset: 'photo' })
  await fleet.finished(address, 'rejected')
  fleet.changes.forget()
  await fleet.arrive(pdf, { ...address, preset: 'photo' })
  await fleet.finished(address, 'rejected')
  assert.is(await hasOriginal(address), false)
})

test('still says why once the bytes are gone and Redis has lost all it knew', async () => {
  const address = await fleet.arrive(pdf, { preset: 'photo', owner: 's-forgotten' })
  const rejected = await fleet.finished(address, 'rejected')
  await fleet.redis.del(...(await fleet.redis.keys(`${fleet.prefix}:{s-forgotten}:*`)))
  const { records, manifests, s3, bucket } = fleet
  const originals = createOriginals({ s3, bucket })
  const lookup = createUploadLookup({ records, manifests, originals })
  const found = await lookup.find(address)
  assert.equal({ ...found?.upload, updatedAt: '' }, { ...rejected, updatedAt: '' })
  const receiveUpload = createReceiveUpload({
    lookup,
    records,
    originals,
    queue: fleet.queue,
    eraseObjects: createEraseObjects({ s3, bucket }),
  })
  assert.is((await receiveUpload(address))?.upload.state, 'rejected', 'also to who tells of it too late')
})

test('announces by the presets of the file', async () => {
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
