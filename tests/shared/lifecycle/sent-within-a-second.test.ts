import { ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { startWorkerFleet, type WorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('two files for one upload within a second')
let fleet: WorkerFleet
let lifecycle: ReturnType<typeof createTestLifecycle>

test.before(async () => {
  fleet = await startWorkerFleet()
  lifecycle = createTestLifecycle(fleet)
})
test.after(() => fleet.close())

const Bucket = () => fleet.bucket

async function put(address: UploadAddress, Body: string): Promise<string> {
  const Metadata = { filename: 'a.txt', preset: 'default' }
  const input = { Bucket: Bucket(), Key: originalKey(address), Body, Metadata }
  const { VersionId = '' } = await fleet.s3.send(new PutObjectCommand(input))
  return VersionId
}

/** Lists the versions of an original, oldest first. S3 dates them by the second. */
async function versionsOf(address: UploadAddress) {
  const input = { Bucket: Bucket(), Prefix: originalKey(address) }
  const { Versions = [] } = await fleet.s3.send(new ListObjectVersionsCommand(input))
  return Versions.toReversed()
}

/** Sends two files, of which S3 says that they are of the same second. */
async function sendTwo(
  first: string,
  second: string,
  between = async (_: UploadAddress, _version: string) => {},
) {
  for (;;) {
    const address = { owner: 's-tester', id: newUploadId() }
    const older = await put(address, first)
    await between(address, older)
    const newer = await put(address, second)
    const times = (await versionsOf(address)).map(({ LastModified }) =>
      LastModified?.toISOString().slice(0, 19),
    )
    if (new Set(times).size === 1) return { address, older, newer }
  }
}

const receive = (address: UploadAddress, versionId: string) => lifecycle.receiveUpload(address, { versionId })
const stored = async (address: UploadAddress) => (await fleet.records.find(address))?.upload
const ids = async (address: UploadAddress) => (await versionsOf(address)).map(({ VersionId }) => VersionId)

for (const [name, order] of [
  ['in their order', [0, 1]],
  ['in reverse order', [1, 0]],
  ['twice each', [0, 1, 1, 0]],
] as const) {
  test(`the second file is the upload, when the events come ${name}`, async () => {
    const { address, older, newer } = await sendTwo('one', 'two')
    for (const n of order) await receive(address, [older, newer][n] ?? '')
    const upload = await stored(address)
    assert.equal([upload?.state, upload?.arrival?.versionId], ['received', newer])
    assert.equal(await ids(address), [older, newer])
  })
}

test('the second file replaces the first one that was received before it', async () => {
  const { address, newer } = await sendTwo('one', 'two', async (address, older) => {
    await receive(address, older)
    await fleet.records.update(address, (current) => ({
      ...current,
      state: 'ready',
      findings: { detectedType: 'text/plain' },
    }))
  })
  const upload = (await receive(address, newer))?.upload
  assert.equal([upload?.state, upload?.arrival?.versionId, upload?.findings], ['received', newer, {}])
})

test('the same bytes sent again are no other file, and S3 keeps the version that the record names', async () => {
  const { address, older, newer } = await sendTwo('same', 'same', async (address, version) => {
    await receive(address, version)
  })
  const before = await stored(address)
  await receive(address, newer)
  assert.equal(await stored(address), before)
  assert.equal(await ids(address), [older])
})

test('of the same bytes sent twice before an event came, S3 keeps the newer version', async () => {
  const { address, older, newer } = await sendTwo('same', 'same')
  await receive(address, older)
  await receive(address, newer)
  assert.is((await stored(address))?.arrival?.versionId, newer)
  assert.equal(await ids(address), [newer])
})

test('a manifest of the first file says nothing about the second one', async () => {
  const { address, newer } = await sendTwo('one', 'two', async (address, older) => {
    const received = await receive(address, older)
    if (!received?.upload.arrival) throw new Error('The file did not arrive.')
    const { intent, arrival, createdAt, updatedAt } = received.upload
    const outcome = { outcome: 'ready' as const, recipe: 'x', findings: {}, variants: [] }
    const manifest = {
      version: 1 as const,
      ...address,
      ...outcome,
      intent,
      arrival,
      createdAt,
      finishedAt: updatedAt,
    }
    await lifecycle.manifests.write(manifest, undefined)
    assert.is((await lifecycle.checkUpload(address))?.upload.state, 'ready')
  })
  const checked = await lifecycle.checkUpload(address)
  assert.equal([checked?.upload.state, checked?.upload.arrival?.versionId], ['received', newer])
})

test.run()
