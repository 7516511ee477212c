import { arrivalGraceMs } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadKeys } from '@millrace/shared/uploads/upload-keys.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('event after the record expired')
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet()
})
test.after(() => fleet.close())

test('an upload whose event comes after its record expired is processed, listed and kept like any other', async () => {
  const bytes = await sampleImage('image/png', 30, 20)
  const intent = { filename: 'late.png', contentType: 'image/png', size: bytes.length, preset: 'default' }
  const address = { owner: 's-late', id: newUploadId() }
  const createdAt = new Date(Date.now() - arrivalGraceMs).toISOString()
  await fleet.records.create(
    {
      ...address,
      state: 'awaiting',
      intent,
      findings: {},
      variants: [],
      createdAt,
      updatedAt: createdAt,
      expiresAt: createdAt,
    },
    { networks: [{ name: 'home', share: 1 }] },
  )
  // All of it expires within a minute. This is the state after that.
  const keys = createUploadKeys(fleet.prefix)
  const left = await fleet.redis.keys(keys.record({ ...address, id: '*' }).replace(/upload:\*$/, '*'))
  assert.ok(left.includes(keys.record(address)))
  await fleet.redis.del(left)

  await fleet.arrive(bytes, { ...address, ...intent })
  const worker = await fleet.startWorker()
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.intent.filename, upload.variants.length], ['ready', 'late.png', 4])
  assert.equal(await fleet.redis.zrange(keys.index(address.owner), '0', '-1'), [address.id])
  const dayMs = 24 * 60 * 60 * 1000
  const lifeMs = await fleet.redis.pttl(keys.index(address.owner))
  assert.ok(lifeMs <= 10 * dayMs && lifeMs > 10 * dayMs - 60_000, `${lifeMs} ms`)
  await worker.close()
})

test.run()
