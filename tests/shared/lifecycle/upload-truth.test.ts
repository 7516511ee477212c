import { type Manifest, uploadFromManifest } from '@millrace/shared/ledger/manifest.ts'
import type { Original } from '@millrace/shared/ledger/originals.ts'
import { deriveUpload, type Evidence, type Truth } from '@millrace/shared/lifecycle/upload-truth.ts'
import { type Arrival, isFinished, isSameArrival, type Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('Upload truth')
const address = { owner: 'truth', id: newUploadId() }
const nowMs = Date.now()
const at = (ms: number) => new Date(nowMs + ms).toISOString()
const hourMs = 3_600_000

const intent = { filename: 'a.png', contentType: 'image/png', size: 3, preset: 'default' }
const first: Arrival = { etag: 'one', versionId: 'v1', size: 3 }
const sameBytesAgain: Arrival = { etag: 'one', versionId: 'v2', size: 3 }
const otherBytes: Arrival = { etag: 'two', versionId: 'v3', size: 4 }
const arrivals = [first, sameBytesAgain, otherBytes]

const originals: (Original | undefined)[] = [
  undefined,
  ...arrivals.flatMap((arrival) => [false, true].map((isCopy) => ({ arrival, intent, isCopy }))),
]
const manifests: (Manifest | undefined)[] = [
  undefined,
  ...arrivals.flatMap((arrival) =>
    (['ready', 'rejected', 'different', 'failed'] as const).map((kind) => ({
      version: 1 as const,
      ...address,
      outcome: kind === 'different' ? ('rejected' as const) : kind,
      intent,
      arrival,
      recipe: 'recipe',
      findings: {},
      variants: [],
      ...(kind !== 'ready' && {
        error: { code: kind === 'different' ? 'type_not_allowed' : 'image_corrupt', message: 'message' },
      }),
      createdAt: at(-hourMs),
      finishedAt: at(0),
    })),
  ),
]
const states: Upload['state'][] = ['awaiting', 'received', 'processing', 'ready', 'rejected', 'failed']
const records: (Upload | undefined)[] = [
  undefined,
  ...states.flatMap((state) =>
    [undefined, ...arrivals].flatMap((arrival) =>
      [undefined, at(hourMs), at(-2 * hourMs)].map((expiresAt) => ({
        ...address,
        state,
        intent,
        ...(arrival && { arrival }),
        findings: {},
        variants: [],
        createdAt: at(-3 * hourMs),
        updatedAt: at(-3 * hourMs),
        ...(expiresAt && { expiresAt }),
      })),
    ),
  ),
]

/** Calls the function with every combination of evidence. */
function forAll(check: (evidence: Evidence, truth: Truth) => void): void {
  let count = 0
  for (const isErased of [false, true])
    for (const original of originals)
      for (const manifest of manifests)
        for (const record of records) {
          const evidence = { isErased, original, manifest, record }
          check(evidence, deriveUpload(address, evidence, nowMs))
          count += 1
        }
  assert.is(count, 2 * 7 * 13 * 73)
}

test('an erased upload is erased, whatever else exists', () => {
  forAll(({ isErased }, { kind }) => assert.is(kind === 'erased', isErased))
})

test('an upload with an original or a manifest exists, whatever the record says', () => {
  forAll(({ isErased, original, manifest }, { kind }) => {
    if (!isErased && (original || manifest)) assert.is(kind, 'upload')
  })
})

test('the state is the manifest’s if and only if the manifest describes the bytes in S3', () => {
  forAll(({ original, manifest }, truth) => {
    if (truth.kind !== 'upload') return
    const { upload } = truth
    const describes = manifest && (!original || isSameArrival(manifest.arrival, original.arrival))
    if (describes) assert.equal(upload, uploadFromManifest(manifest))
    else if (original) assert.not.ok(isFinished(upload))
  })
})

test('a job is needed if and only if bytes in S3 have no manifest', () => {
  forAll(({ original }, truth) => {
    if (truth.kind !== 'upload') return
    assert.is(truth.needsJob, original !== undefined && !isFinished(truth.upload))
    if (truth.needsJob) assert.equal(truth.upload.arrival, original?.arrival)
  })
})

test('a record changes nothing but the progress of unfinished bytes, and what only Redis knows', () => {
  forAll(({ isErased, original, manifest, record }, truth) => {
    const without = deriveUpload(address, { isErased, original, manifest }, nowMs)
    if (without.kind === 'upload' && truth.kind === 'upload') {
      assert.is(truth.needsJob, without.needsJob)
      assert.equal(truth.upload.arrival, without.upload.arrival)
      if (truth.upload.state !== without.upload.state) {
        assert.equal([truth.upload.state, without.upload.state], ['processing', 'received'])
      }
    } else if (truth.kind === 'upload') {
      assert.equal(truth.upload, record)
      assert.is(record?.arrival === undefined || record.state === 'awaiting', true)
    }
  })
})

test('rejected bytes are removed if and only if their manifest says that they differ from the announcement', () => {
  forAll(({ isErased, original, manifest }, truth) => {
    if (truth.kind !== 'upload') return
    const isDifferent = manifest?.error?.code === 'type_not_allowed'
    const isCurrent = manifest && original && isSameArrival(manifest.arrival, original.arrival)
    const removed = !isErased && isDifferent && isCurrent ? original.arrival : undefined
    assert.equal(truth.rejectedBytes, removed)
  })
})

test('an announced upload is absent an hour after it expired', () => {
  const awaiting = (expiresAt: string) =>
    deriveUpload(
      address,
      { isErased: false, record: records.find((r) => r?.state === 'awaiting' && r.expiresAt === expiresAt) },
      nowMs,
    ).kind
  assert.is(awaiting(at(hourMs)), 'upload')
  assert.is(awaiting(at(-2 * hourMs)), 'absent')
})

test('a streamed file whose recorded size Redis lost has the size of its bytes', () => {
  const record = records.find((each) => each?.state === 'awaiting' && !each.arrival)
  assert.ok(record)
  const unsized = { ...record, intent: { ...intent, size: 0 } }
  const original = { arrival: otherBytes, intent, isCopy: false }
  const truth = deriveUpload(address, { isErased: false, original, record: unsized }, nowMs)
  assert.is(truth.kind === 'upload' && truth.upload.intent.size, otherBytes.size)
})

test('the derived state is stable: deriving it again from its own record changes nothing', () => {
  forAll((evidence, truth) => {
    if (truth.kind !== 'upload') return
    const again = deriveUpload(address, { ...evidence, record: truth.upload }, nowMs)
    assert.equal(again, truth)
  })
})

test.run()
