import { createEditUpload } from '@millrace/api/uploads/edit-upload.ts'
import { createReprocessUpload } from '@millrace/api/uploads/reprocess-upload.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { defaultPreset, type Preset, type Presets } from '@millrace/shared/presets/preset.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { quarters, sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('reprocess by workers')
const tiny: Preset = {
  name: 'tiny',
  variants: [{ name: 'icon', fit: 'cover', width: 16, height: 16, format: 'png', quality: 80 }],
}
const focused: Preset = {
  name: 'focused',
  variants: [
    { name: 'strip', fit: 'cover', position: 'focus', width: 40, height: 80, format: 'original' },
    { name: 'avif', width: 40, format: 'avif', effort: 0 },
  ],
}
const presets: Presets = new Map([defaultPreset, tiny, focused].map((preset) => [preset.name, preset]))
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet({ environment: { PRESETS: JSON.stringify([tiny, focused]) } })
  await fleet.startWorker()
})
test.after(() => fleet.close())

/** Returns a variant's key without the hashes of its version and its bytes. */
const withoutHashes = (key: string) => key.replaceAll(/[0-9a-f]{16}(?=[/.])/g, '#')

/** Reprocesses an upload as the API does. */
async function reprocess(address: UploadAddress, preset?: string): Promise<void> {
  const { s3, bucket, records, manifests, queue } = fleet
  const originals = createOriginals({ s3, bucket })
  const stored = await records.find(address)
  if (!stored) throw new Error('The upload has no record.')
  fleet.changes.clear()
  await createReprocessUpload({ records, originals, manifests, queue, presets })(stored.upload, preset)
}

test('a failed upload that is reprocessed becomes ready', async () => {
  // The worker does not have this preset, which is our fault, not the file's.
  const address = await fleet.arrive(await sampleImage('image/png'), { preset: 'removed' })
  const failed = await fleet.finished(address)
  assert.equal([failed.state, failed.error?.code], ['failed', 'preset_unknown'])
  await reprocess(address, 'default')
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.error, upload.variants.length], ['ready', undefined, 4])
  assert.equal(fleet.changes.states(address.id), ['received', 'processing', 'ready'])
})

test('a failed upload that is reprocessed with the same preset runs again', async () => {
  const address = await fleet.arrive(await sampleImage('image/png'))
  const ready = await fleet.finished(address)
  const stored = await fleet.manifests.readStored(address)
  if (!stored) throw new Error('The upload has no manifest.')
  await fleet.manifests.write({ ...stored.content, outcome: 'failed', variants: [] }, stored)
  await fleet.records.update(address, (current) => ({ ...current, state: 'failed', variants: [] }))
  // Redis may deliver this change after `reprocess` has cleared the ones before.
  await fleet.finished(address, 'failed')
  await reprocess(address)
  assert.equal((await fleet.finished(address)).variants, ready.variants)
  assert.is((await fleet.manifests.read(address))?.outcome, 'ready')
})

test('a ready upload that is reprocessed with another preset has the variants and the manifest of that preset', async () => {
  const address = await fleet.arrive(await sampleImage('image/png'))
  const [old] = (await fleet.finished(address)).variants
  await reprocess(address, 'tiny')
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.intent.preset], ['ready', 'tiny'])
  assert.equal(
    upload.variants.map(({ key, width }) => [withoutHashes(key), width]),
    [[`variants/s-tester/${address.id}/#/icon.#.png`, 16]],
  )
  const manifest = await fleet.manifests.read(address)
  assert.equal([manifest?.intent.preset, manifest?.variants], ['tiny', upload.variants])
  assert.ok((await fleet.object(old?.key ?? '')).length > 0, 'the old variant stays')
})

test('a variant shows the focal point of the metadata, and another one after it changed', async () => {
  const address = await fleet.arrive(await sampleImage('image/jpeg'), {
    preset: 'focused',
    metadata: { focus: '0,0.5' },
  })
  const colors = async (key = '') => quarters(await fleet.object(key))
  const left = await fleet.finished(address)
  assert.equal(
    left.variants.map(({ key, contentType }) => [withoutHashes(key), contentType]),
    [
      [`variants/s-tester/${address.id}/#/strip.#.jpg`, 'image/jpeg'],
      [`variants/s-tester/${address.id}/#/avif.#.avif`, 'image/avif'],
    ],
  )
  assert.is(await colors(left.variants[0]?.key), 'red red blue blue')
  assert.match(left.findings.dominantColor ?? '', /^#[0-9a-f]{6}$/)
  assert.match(left.findings.perceptualHash ?? '', /^[0-9a-f]{16}$/)
  const { recipe } = (await fleet.manifests.read(address)) ?? {}
  const lifecycle = createTestLifecycle(fleet)
  await createEditUpload(lifecycle)(left, { metadata: { focus: '1,0.5' } })
  // Redis may deliver this change after `reprocess` has cleared the ones before.
  await fleet.changes.until(address.id, ({ edit }) => edit !== undefined)
  await reprocess(address)
  const right = await fleet.finished(address)
  assert.equal(right.intent.metadata, { focus: '1,0.5' })
  const keys = [...left.variants, ...right.variants].map(({ key }) => key)
  assert.is(new Set(keys).size, 4, 'no key is written again with other bytes')
  assert.is(await colors(left.variants[0]?.key), 'red red blue blue', 'the old bytes stay under their key')
  assert.is(await colors(right.variants[0]?.key), 'green green yellow yellow')
  assert.is.not((await fleet.manifests.read(address))?.recipe, recipe)
})

test.run()
