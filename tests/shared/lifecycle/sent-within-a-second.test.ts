import { ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
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

/** Writes the manifest of an upload, as its job does. */
async function finish(upload: Upload | undefined): Promise<void> {
  if (!upload?.arrival) throw new Error('The file did not arrive.')
  const { owner, id, intent, arrival, createdAt, updatedAt } = upload
  const outcome = { outcome: 'ready' as const, recipe: 'x', findings: {}, variants: [] }
  const manifest = { version: 1 as const, owner, id, ...outcome, intent, arrival, createdAt }
  await lifecycle.manifests.write({ ...manifest, finishedAt: updatedAt }, undefined)
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

test('the same bytes sent again are no other file, and once it is finished, S3 keeps the version that the manifest names', async () => {
  const { address, older, newer } = await sendTwo('same', 'same', async (address, version) => {
    await receive(address, version)
  })
  const before = await stored(address)
  await receive(address, newer)
  assert.equal(await stored(address), before)
  assert.equal(await ids(address), [older, newer])
  await finish(before)
  await receive(address, newer)
  assert.equal(await ids(address), [older])
})

test('of the same bytes sent twice before an event came, S3 keeps the newer version', async () => {
  const { address, older, newer } = await sendTwo('same', 'same')
  await receive(address, older)
  await receive(address, newer)
  assert.is((await stored(address))?.arrival?.versionId, newer)
  await finish(await stored(address))
  await receive(address, older)
  assert.equal(await ids(address), [newer])
})

test('two workers that decide at the same time, one of them after Redis lost the record, leave a version', async () => {
  const { address, older, newer } = await sendTwo('same', 'same', async (address, version) => {
    await receive(address, version)
  })
  // One has the record, which names the older version. Before it deletes the newer one, Redis forgets the record, and the other one
  // decides.
  let isDecided = false
  fleet.s3.middlewareStack.add(
    (next, { commandName }) =>
      async (args) => {
        const response = await next(args)
        if (commandName === 'ListObjectVersionsCommand' && !isDecided) {
          isDecided = true
          await fleet.redis.del(await fleet.redis.keys(`${fleet.prefix}:{${address.owner}}:upload:*`))
          await receive(address, older)
        }
        return response
      },
    { step: 'initialize', name: 'decideMeanwhile' },
  )
  await receive(address, newer).finally(() => fleet.s3.middlewareStack.remove('decideMeanwhile'))
  assert.ok(isDecided)
  assert.equal(await ids(address), [older, newer])
})

test('a manifest of other bytes deletes no version of those that replace them', async () => {
  const address = { owner: 's-tester', id: newUploadId() }
  const first = await put(address, 'first')
  await finish((await receive(address, first))?.upload)
  const replacing = [await put(address, 'same'), await put(address, 'same')]
  for (const version of replacing) await receive(address, version)
  assert.equal(await ids(address), [first, ...replacing])
})

test('of very many versions with the same bytes, S3 keeps one before the upload is finished', async () => {
  const address = { owner: 's-tester', id: newUploadId() }
  const versions: string[] = []
  for (let count = 0; count < 8; count++) versions.push(await put(address, 'same'))
  await receive(address, versions[3] ?? '')
  assert.equal(await ids(address), versions)
  const ninth = await put(address, 'same')
  await receive(address, ninth)
  assert.equal(await ids(address), [versions[7]])
})

test('a manifest of the first file says nothing about the second one', async () => {
  const { address, newer } = await sendTwo('one', 'two', async (address, older) => {
    await finish((await receive(address, older))?.upload)
    assert.is((await lifecycle.checkUpload(address))?.upload.state, 'ready')
  })
  const checked = await lifecycle.checkUpload(address)
  assert.equal([checked?.upload.state, checked?.upload.arrival?.versionId], ['received', newer])
})

test.run()
