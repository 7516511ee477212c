import { type Manifest, uploadFromManifest } from '@millrace/shared/ledger/manifest.ts'
import type { Original } from '@millrace/shared/ledger/originals.ts'
import { deriveUpload, type Evidence, type Truth } from '@millrace/shared/lifecycle/upload-truth.ts'
import { type Arrival, isFinished, isSameArrival, type Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
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

test('an announced upload exists until exactly an hour after its expiry', () => {
  const awaiting = records.find((each) => each?.state === 'awaiting' && !each.arrival)
  assert.ok(awaiting)
  for (const [agoMs, kind] of [
    [hourMs - 1, 'upload'],
    [hourMs, 'upload'],
    [hourMs + 1, 'absent'],
  ] as const) {
    const record = { ...awaiting, expiresAt: at(-agoMs) }
    assert.is(deriveUpload(address, { isErased: false, record }, nowMs).kind, kind, String(agoMs))
    assert.is(deriveUpload(address, { isErased: false, announced: record }, nowMs).kind, kind)
  }
})

/** State by original, manifest and record: `-` for none, `first` and `other` for which bytes. */
const stateTable: [original: string, manifest: string, record: string, expected: string][] = [
  ['-', '-', '-', 'absent'],
  ['-', '-', 'awaiting', 'awaiting'],
  ['-', '-', 'received', 'absent'],
  ['-', '-', 'processing', 'absent'],
  ['-', '-', 'ready', 'absent'],
  ['-', '-', 'rejected', 'absent'],
  ['-', '-', 'failed', 'absent'],
  ['-', 'ready', '-', 'ready'],
  ['-', 'rejected', 'awaiting', 'rejected'],
  ['-', 'failed', 'processing', 'failed'],
  ['first', '-', '-', 'received, needs a job'],
  ['first', '-', 'awaiting', 'received, needs a job'],
  ['first', '-', 'received', 'received, needs a job'],
  ['first', '-', 'processing', 'processing, needs a job'],
  ['first', '-', 'ready', 'received, needs a job'],
  ['first', '-', 'failed', 'received, needs a job'],
  ['first', 'ready', '-', 'ready'],
  ['first', 'ready', 'awaiting', 'ready'],
  ['first', 'ready', 'received', 'ready'],
  ['first', 'ready', 'processing', 'ready'],
  ['first', 'ready', 'failed', 'ready'],
  ['first', 'rejected', 'ready', 'rejected'],
  ['first', 'failed', 'processing', 'failed'],
  ['other', 'ready', '-', 'received, needs a job'],
  ['other', 'ready', 'ready', 'received, needs a job'],
  ['other', 'rejected', 'rejected', 'received, needs a job'],
  // A worker is at the bytes of before.
  ['other', 'ready', 'processing', 'received, needs a job'],
]
for (const [ofOriginal, ofManifest, ofRecord, expected] of stateTable) {
  test(`original ${ofOriginal}, manifest ${ofManifest}, record ${ofRecord}: ${expected}`, () => {
    const bytes = ofOriginal === 'other' ? otherBytes : first
    const original = originals.find((each) => each?.arrival === bytes && !each.isCopy)
    const manifest = manifests.find((each) => each?.arrival === first && each.outcome === ofManifest)
    const isArrived = ofRecord !== 'awaiting'
    const record = records.find(
      (each) => each?.state === ofRecord && (isArrived ? each.arrival === first : !each.arrival),
    )
    assert.is(record?.state ?? '-', ofRecord)
    assert.is(manifest?.outcome ?? '-', ofManifest)
    const facts = { isErased: false, ...(ofOriginal !== '-' && { original }), manifest, record }
    const truth = deriveUpload(address, facts, nowMs)
    const found =
      truth.kind === 'upload' ? `${truth.upload.state}${truth.needsJob ? ', needs a job' : ''}` : truth.kind
    assert.is(found, expected)
    assert.is(deriveUpload(address, { ...facts, isErased: true }, nowMs).kind, 'erased')
  })
}

test('an announcement stands for a record that Redis lost, and for no other', () => {
  const announced = records.find((each) => each?.state === 'awaiting' && !each.arrival && each.expiresAt)
  const record = records.find((each) => each?.state === 'failed' && !each.arrival)
  assert.ok(announced && record)
  const truthOf = (facts: Partial<Evidence>) => deriveUpload(address, { isErased: false, ...facts }, nowMs)
  assert.equal(truthOf({ announced }), { kind: 'upload', upload: announced, needsJob: false })
  assert.equal(truthOf({ announced, record }), { kind: 'upload', upload: record, needsJob: false })
})

test('an edit says filename and metadata of an upload in every state, and that of S3 more than that of Redis', () => {
  const ofS3 = { revision: 1, filename: 's3.png', metadata: {} }
  const ofRedis = { revision: 2, filename: 'redis.png' }
  forAll((evidence, truth) => {
    if (truth.kind !== 'upload') return
    const named = (edit: Partial<Evidence>) => {
      const edited = deriveUpload(address, { ...evidence, ...edit }, nowMs)
      return edited.kind === 'upload' && [edited.upload.intent.filename, edited.upload.state]
    }
    const { record } = evidence
    assert.equal(named({ edit: ofS3 }), ['s3.png', truth.upload.state])
    if (!record) return
    const withEdit = { ...record, edit: ofRedis }
    assert.equal(named({ record: withEdit }), ['redis.png', truth.upload.state])
    assert.equal(named({ record: withEdit, edit: ofS3 }), ['s3.png', truth.upload.state])
  })
})

/** How far an upload is. */
function rankOf(truth: Truth): number {
  if (truth.kind === 'erased') return 4
  if (truth.kind === 'absent') return 0
  if (isFinished(truth.upload)) return 3
  return truth.upload.state === 'awaiting' ? 1 : 2
}

test('no upload goes back when S3 gets its bytes, their manifest or its erasure marker', () => {
  forAll((evidence, truth) => {
    const { original, manifest, record } = evidence
    const rankWith = (facts: Partial<Evidence>) =>
      rankOf(deriveUpload(address, { ...evidence, ...facts }, nowMs))
    assert.is(rankWith({ isErased: true }), 4)
    if (evidence.isErased) return
    for (const added of manifests) {
      if (added && original && isSameArrival(added.arrival, original.arrival) && !manifest)
        assert.is(rankWith({ manifest: added }), 3)
    }
    // An import that ended without bytes is finished, until bytes arrive after all.
    if (original || manifest || (record && isFinished(record))) return
    for (const added of originals) if (added) assert.ok(rankWith({ original: added }) >= rankOf(truth))
  })
})

test('property: whatever order the facts are noticed in, the record ends the same', async () => {
  const announced = records.find((each) => each?.state === 'awaiting' && !each.arrival && each.expiresAt)
  const fact = fc.constantFrom<Partial<Evidence>>(
    ...originals.filter((each) => each !== undefined).map((original) => ({ original })),
    ...manifests.filter((each) => each !== undefined).map((manifest) => ({ manifest })),
    { edit: { revision: 1, filename: 'edited.png' } },
    { isErased: true },
  )
  await checkProperty(
    fc.property(fc.array(fact, { maxLength: 4 }), fc.func(fc.integer()), (facts, orderOf) => {
      // The last one of a kind is the one that S3 has, in whatever order it is noticed.
      const all: Evidence = Object.assign({ isErased: false }, ...facts)
      const kept = facts.filter((each) =>
        Object.entries(each).every(([name, value]) => Reflect.get(all, name) === value),
      )
      const noticed = (order: Partial<Evidence>[]): Truth => {
        let known: Evidence = { isErased: false, record: announced }
        let truth = deriveUpload(address, known, nowMs)
        for (const each of order) {
          known = { ...known, ...each }
          truth = deriveUpload(address, known, nowMs)
          known.record = truth.kind === 'upload' ? truth.upload : undefined
        }
        return truth
      }
      const shuffled = kept.map((each, n) => ({ each, at: orderOf(n) })).toSorted((a, b) => a.at - b.at)
      const [one, other] = [noticed(kept), noticed(shuffled.map(({ each }) => each))]
      assert.equal([one.kind, rankOf(one)], [other.kind, rankOf(other)])
      if (one.kind !== 'upload' || other.kind !== 'upload') return
      const { state, arrival, intent, findings } = one.upload
      assert.equal(
        [
          other.upload.state,
          other.upload.arrival,
          other.upload.intent,
          other.upload.findings,
          other.needsJob,
        ],
        [state, arrival, intent, findings, one.needsJob],
      )
    }),
    { runs: 300 },
  )
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
