import { S3Client } from '@aws-sdk/client-s3'
import { createEdits } from '@millrace/shared/ledger/edits.ts'
import { createJsonObjects } from '@millrace/shared/ledger/json-objects.ts'
import { createManifests } from '@millrace/shared/ledger/manifest.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import fc from 'fast-check'
import Type from 'typebox'
import { Compile } from 'typebox/compile'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'
import { startWorkerFleet, type WorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('writers of one object')
const list = Compile(Type.Object({ names: Type.Array(Type.String()) }))
let fleet: WorkerFleet
let s3: S3Client

test.before(async () => {
  fleet = await startWorkerFleet()
  s3 = new S3Client({ endpoint: fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '', ...fleet.identity })
})
test.after(async () => {
  s3.destroy()
  await fleet.close()
})

const newAddress = () => ({ owner: 's-tester', id: newUploadId() })

function manifestOf(address: { owner: string; id: string }, recipe: string) {
  return {
    version: 1 as const,
    ...address,
    outcome: 'ready' as const,
    intent: { filename: 'a', contentType: 'a/b', size: 1, preset: 'default' },
    arrival: { etag: 'e', size: 1 },
    recipe,
    findings: {},
    variants: [],
    createdAt: '',
    finishedAt: '',
  }
}

test('of two workers that found no manifest, the second one does not replace the first one’s outcome', async () => {
  const manifests = createManifests({ s3, bucket: fleet.bucket })
  const address = newAddress()
  assert.ok(await manifests.write(manifestOf(address, 'first'), undefined))
  assert.not(await manifests.write(manifestOf(address, 'second'), undefined))
  assert.is((await manifests.read(address))?.recipe, 'first')
})

test('of two workers that read one manifest, the second one does not replace the first one’s outcome', async () => {
  const manifests = createManifests({ s3, bucket: fleet.bucket })
  const address = newAddress()
  await manifests.write(manifestOf(address, 'old'), undefined)
  const read = await manifests.readStored(address)
  assert.ok(await manifests.write(manifestOf(address, 'first'), read))
  assert.not(await manifests.write(manifestOf(address, 'second'), read))
  assert.is((await manifests.read(address))?.recipe, 'first')
})

test('of two requests that read one edit, or none, the second one does not replace the first one’s', async () => {
  const edits = createEdits({ s3, bucket: fleet.bucket })
  const address = newAddress()
  for (const revision of [1, 2]) {
    const read = await edits.readStored(address)
    assert.ok(await edits.write(address, { revision, filename: 'first' }, read))
    assert.not(await edits.write(address, { revision, filename: 'second' }, read))
    assert.equal(await edits.read(address), { revision, filename: 'first' })
  }
})

test('property: however reads and writes of three processes interleave, a write succeeds if nobody wrote since its read, and none is lost', async () => {
  const objects = createJsonObjects({ s3, bucket: fleet.bucket }, list)
  const writer = fc.constantFrom(0, 1, 2)
  const step = fc.record({ writer, does: fc.constantFrom('read', 'write', 'write', 'delete') })
  await checkProperty(
    fc.asyncProperty(fc.array(step, { maxLength: 10 }), async (steps) => {
      const key = `edits/${newUploadId()}`
      let names: string[] | undefined
      let etag: string | undefined
      const seen = new Map<number, Awaited<ReturnType<typeof objects.readStored>>>()
      for (const [n, { writer, does }] of steps.entries()) {
        if (does === 'read' || !seen.has(writer)) {
          seen.set(writer, await objects.readStored(key))
        } else if (does === 'delete') {
          await objects.delete(key)
          names = undefined
          etag = undefined
        } else {
          const read = seen.get(writer)
          const next = [...(read?.content.names ?? []), `${writer} at ${n}`]
          const isWritten = await objects.writeIf(key, { names: next }, read)
          assert.is(isWritten, read?.etag === etag)
          if (isWritten) {
            names = next
            etag = (await objects.readStored(key))?.etag
          }
        }
        assert.equal((await objects.read(key))?.names, names)
      }
    }),
    { runs: 10 },
  )
})

test.run()
