import { createReprocessUpload } from '@millrace/api/uploads/reprocess-upload.ts'
import { createOriginals } from '@millrace/shared/ledger/originals.ts'
import { defaultPreset, type Preset, type Presets } from '@millrace/shared/presets/preset.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('reprocess by workers')
const tiny: Preset = {
  name: 'tiny',
  variants: [{ name: 'icon', fit: 'cover', width: 16, height: 16, format: 'png', quality: 80 }],
}
const presets: Presets = new Map([defaultPreset, tiny].map((preset) => [preset.name, preset]))
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet({ environment: { PRESETS: JSON.stringify([tiny]) } })
  await fleet.startWorker()
})
test.after(() => fleet.close())

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
  await fleet.manifests.write({ ...stored.manifest, outcome: 'failed', variants: [] }, stored)
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
    upload.variants.map(({ key, width }) => [key, width]),
    [[`variants/s-tester/${address.id}/tiny/icon.png`, 16]],
  )
  const manifest = await fleet.manifests.read(address)
  assert.equal([manifest?.intent.preset, manifest?.variants], ['tiny', upload.variants])
  assert.ok((await fleet.object(old?.key ?? '')).length > 0, 'the old variant stays')
})

test.run()
