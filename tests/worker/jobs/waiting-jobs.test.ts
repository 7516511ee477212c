import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { interlacedPng } from '../support/odd-images.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

// Several images of 25 megapixels.
const test = suite('jobs that wait for a decoder', {}, { limitMs: 120_000 })
let fleet: WorkerFleet

/** An image of 25 megapixels: from then on, an image is large. */
const large = interlacedPng(5_000, { channels: 1 })

test.before(async () => {
  const preset = {
    name: 'default',
    variants: [{ name: 'small', fit: 'inside', width: 32, format: 'png', quality: 80 }],
  }
  fleet = await startWorkerFleet({ environment: { PRESETS: JSON.stringify([preset]) } })
})
test.after.each(() => fleet.reset())
test.after(() => fleet.close())

/** Puts large images into S3 and waits until their jobs are in the queue. */
async function arriveLarge(count: number): Promise<UploadAddress[]> {
  const addresses = await Promise.all(Array.from({ length: count }, () => fleet.arrive(large)))
  await Promise.all(addresses.map((address) => fleet.finished(address, 'received')))
  return addresses
}

test('an ordinary photo passes large images that came before it', async () => {
  await fleet.startWorker({ environment: { WORKER_SLOTS: '2' } })
  const before = await arriveLarge(5)
  const photo = await fleet.arrive(await sampleImage('image/jpeg'))
  const finished: string[] = []
  const record = async (address: UploadAddress) => {
    const { state } = await fleet.finished(address)
    assert.is(state, 'ready')
    finished.push(address.id)
  }
  await Promise.all([...before, photo].map(record))
  assert.ok(finished.indexOf(photo.id) < 4, `${finished.indexOf(photo.id)} large images came first`)
})

test('a worker that ends hands back the images that wait', async () => {
  const worker = await fleet.startWorker({ environment: { WORKER_SLOTS: '2', DRAIN_DEADLINE_MS: '0' } })
  // One at a time is in a decoder.
  const [one, other] = await arriveLarge(2)
  assert.ok(one && other)
  await Promise.all([one, other].map((address) => fleet.finished(address, 'processing')))
  await worker.close()
  await fleet.startWorker()
  for (const address of [one, other]) assert.is((await fleet.finished(address)).state, 'ready')
})

test.run()
