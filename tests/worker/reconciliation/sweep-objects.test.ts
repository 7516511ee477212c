import type { Manifest } from '@millrace/shared/ledger/manifest.ts'
import { manifestKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { openLifeMs } from '@millrace/shared/uploads/memory-budget.ts'
import type { Upload, UploadState } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { IndexRange } from '@millrace/worker/reconciliation/compare-index.ts'
import { createSweepObjects } from '@millrace/worker/reconciliation/sweep-objects.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createListingS3 } from '../support/listing-s3.ts'
import { createTestRun, runStage } from '../support/sweep-run.ts'

const test = suite('sweep of originals and manifests')
const startedAtMs = Date.UTC(2026, 10, 28)
const hourMs = 60 * 60_000
const youngAfterMs = startedAtMs - hourMs
const verifiedBeforeMs = startedAtMs - 24 * hourMs
/** Between both. */
const recentMs = startedAtMs - 12 * hourMs
const intent = { filename: 'a.jpg', contentType: 'image/jpeg', size: 1, preset: 'default' }
const times = { createdAt: new Date(0).toISOString(), updatedAt: new Date(youngAfterMs).toISOString() }

/** An upload as S3 and Redis have it. Times are in ms since 1970. */
type Given = {
  owner?: string
  original?: number
  manifest?: number
  /** Whether the manifest describes other bytes than those of the original, or another version of them, or cannot be read. */
  describes?: 'other bytes' | 'another version' | 'unreadable'
  outcome?: Manifest['outcome']
  /** State and time of the record, or the error that reading it ends with. */
  record?: { state: UploadState; atMs?: number } | AppError
  isPending?: boolean
  /** What its check finds. By default the upload has arrived. */
  finds?: 'nothing' | UploadState
}

/** Sweeps uploads. @returns what it did with each of them, by its name */
async function sweep<Name extends string>(
  given: Record<Name, Given>,
  options: { hasRoom?: boolean; pageSize?: number } = {},
) {
  const uploads = Object.entries<Given>(given).map(([name, upload]) => ({
    name,
    ...upload,
    owner: upload.owner ?? 's-tester',
    id: newUploadId(),
  }))
  const find = (id: string) => {
    const upload = uploads.find((each) => each.id === id)
    if (!upload) throw new Error(`no upload ${id}`)
    return upload
  }
  const arrivalOf = (address: UploadAddress) => ({ etag: originalKey(address), size: 1, versionId: 'v1' })
  const dates = new Map<string, number>()
  for (const upload of uploads) {
    if (upload.original !== undefined) dates.set(originalKey(upload), upload.original)
    if (upload.manifest !== undefined) dates.set(manifestKey(upload), upload.manifest)
  }
  const { s3 } = createListingS3({ keys: [...dates.keys()], dates, pageSize: options.pageSize ?? 1000 })
  const { run, findings, unsettled } = createTestRun({ startedAtMs, youngAfterMs, verifiedBeforeMs })
  const did: string[] = []
  const compared: IndexRange[] = []
  let roomAsked = 0
  const recordOf = ({ owner, id }: UploadAddress, state: UploadState): Upload => ({
    ...{ owner, id, state, intent, findings: {}, variants: [], ...times },
    ...(state !== 'awaiting' && { arrival: arrivalOf({ owner, id }) }),
  })
  const stage = createSweepObjects({
    s3,
    bucket: 'uploads',
    run,
    async hasRoom() {
      roomAsked += 1
      return options.hasRoom ?? true
    },
    queue: {
      isPending: async ({ id, etag }) => {
        assert.is(etag, originalKey(find(id)))
        return find(id).isPending ?? false
      },
      async revive({ owner, id, etag }, reviveOptions) {
        assert.equal([originalKey({ owner, id }), reviveOptions], [etag, { isBackfill: true }])
        did.push(`${find(id).name}: revive`)
      },
    },
    manifests: {
      async read(address) {
        const { name, describes, outcome = 'ready', manifest } = find(address.id)
        did.push(`${name}: read manifest`)
        if (describes === 'unreadable') throw new AppError('unreadable_record')
        if (manifest === undefined) return undefined
        const arrival = arrivalOf(address)
        if (describes === 'other bytes') arrival.etag = 'other'
        if (describes !== undefined) arrival.versionId = 'v0'
        const finishedAt = new Date(manifest).toISOString()
        const { createdAt } = times
        return {
          ...{ version: 1, owner: address.owner, id: address.id, outcome, intent, arrival, recipe: 'r' },
          ...{ findings: {}, variants: [], createdAt, finishedAt },
        }
      },
    },
    originals: {
      async find(address) {
        did.push(`${find(address.id).name}: head original`)
        return { arrival: arrivalOf(address), intent, isCopy: false }
      },
    },
    records: {
      async find(address) {
        const { name, record } = find(address.id)
        did.push(`${name}: read record`)
        if (record instanceof AppError) throw record
        if (!record) return undefined
        const updatedAt = new Date(record.atMs ?? youngAfterMs).toISOString()
        return { upload: { ...recordOf(address, record.state), updatedAt }, revision: 1, isChecked: true }
      },
    },
    async checkUpload(address, { takesCopy = false, isBackfill } = {}) {
      assert.is(isBackfill, true, 'its job starts after fresh uploads')
      const { name, finds = 'received' } = find(address.id)
      did.push(`${name}: check${takesCopy ? ', also a copy' : ''}`)
      return finds === 'nothing'
        ? undefined
        : { upload: recordOf(address, finds), revision: 1, isCopy: false }
    },
    async compareIndex(ranges) {
      compared.push(...ranges)
    },
  })
  await runStage(stage)
  s3.destroy()
  const { originals: _, manifests: __, ...counts } = findings.counts()
  const idOf = (name: Name) => uploads.find((each) => each.name === name)?.id ?? ''
  return { did: did.toSorted(), counts, unsettled, compared, roomAsked, idOf }
}

test('an upload whose manifest is newer than its original is finished: nothing is read of an old one', async () => {
  const { did, counts } = await sweep({ old: { original: 1_000, manifest: 2_000 } })
  assert.equal([did, counts], [[], {}])
})

test('an original without a manifest is checked, and its job starts again; a young one is left to its message', async () => {
  const { did, counts, unsettled } = await sweep({
    old: { original: youngAfterMs },
    young: { original: youngAfterMs + 1 },
    waiting: { original: recentMs, isPending: true },
    gone: { original: recentMs, finds: 'nothing' },
    finished: { original: recentMs, finds: 'ready' },
    awaiting: { original: recentMs, finds: 'awaiting' },
  })
  const checked = ['awaiting', 'finished', 'gone', 'old'].map((name) => `${name}: check, also a copy`)
  assert.equal(did, [...checked, 'old: revive'])
  assert.equal(counts, { young: 1, waiting: 1, 'original-without-manifest': 4, checked: 4 })
  assert.equal(unsettled, [])
})

test('while the queue is full, originals without a job are deferred; the queue is asked only if there are some', async () => {
  const full = await sweep(
    {
      one: { original: recentMs },
      other: { original: recentMs, manifest: recentMs, describes: 'other bytes' },
      waiting: { original: recentMs, isPending: true },
    },
    { hasRoom: false },
  )
  assert.equal(full.counts, { deferred: 2, waiting: 1, compared: 1 })
  assert.equal(full.unsettled, [recentMs], 'the next sweep looks again')
  const free = await sweep({ waiting: { original: recentMs, isPending: true } })
  assert.is(free.roomAsked, 0)
})

test('a manifest that is not newer than its original is compared with it, until a completed run verified it', async () => {
  const [same, replaced] = [
    { original: recentMs, manifest: recentMs },
    { original: recentMs + 1_000, manifest: recentMs },
  ]
  const { did, counts, unsettled } = await sweep({
    same,
    replaced: { ...replaced, describes: 'other bytes' },
    again: { ...replaced, describes: 'another version' },
    identical: replaced,
    verified: { original: verifiedBeforeMs, manifest: verifiedBeforeMs, describes: 'other bytes' },
    young: { original: youngAfterMs + 1, manifest: youngAfterMs, describes: 'other bytes' },
    unreadable: { ...same, describes: 'unreadable' },
  })
  const steps = (name: string) => did.filter((each) => each.startsWith(`${name}: `))
  const job = (name: string) => [
    `${name}: check, also a copy`,
    `${name}: head original`,
    `${name}: read manifest`,
  ]
  assert.equal(steps('same'), ['same: read manifest', 'same: read record'], 'its etag says enough')
  assert.equal(steps('replaced'), [...job('replaced'), 'replaced: revive'])
  assert.equal(steps('again'), [...job('again'), 'again: revive'])
  assert.equal(steps('identical'), [
    'identical: head original',
    'identical: read manifest',
    'identical: read record',
  ])
  assert.equal(steps('verified'), ['verified: read record'])
  assert.equal(steps('young'), ['young: read record'])
  assert.equal(steps('unreadable'), ['unreadable: read manifest'])
  assert.equal(counts, { compared: 5, failed: 1, 'original-of-other-bytes': 2, checked: 2 })
  assert.equal(unsettled.toSorted(), [recentMs, recentMs + 1_000, recentMs + 1_000])
})

test('a manifest without an original is reported once, unless its bytes were rejected and so deleted', async () => {
  const { did, counts } = await sweep({
    orphan: { manifest: youngAfterMs },
    failed: { manifest: recentMs, outcome: 'failed' },
    rejected: { manifest: recentMs, outcome: 'rejected' },
    reported: { manifest: verifiedBeforeMs },
    young: { manifest: youngAfterMs + 1 },
    complete: { original: recentMs, manifest: recentMs + 1_000 },
  })
  const read = did.filter((each) => each.endsWith('read manifest'))
  assert.equal(
    read,
    ['failed', 'orphan', 'rejected'].map((name) => `${name}: read manifest`),
  )
  assert.equal(counts, { compared: 3, 'manifest-without-original': 2 })
})

test('an old unfinished record of an upload with a manifest is checked, and every record is read once', async () => {
  const recent = { original: recentMs, manifest: recentMs + 1_000 }
  const { did, counts } = await sweep({
    processing: { ...recent, record: { state: 'processing' } },
    young: { ...recent, record: { state: 'processing', atMs: youngAfterMs + 1 } },
    ready: { ...recent, record: { state: 'ready' } },
    expired: recent,
    // A record of an unfinished upload lives for two weeks after its last change.
    ended: { original: 1_000, manifest: startedAtMs - openLifeMs, record: { state: 'processing' } },
    living: { original: 1_000, manifest: startedAtMs - openLifeMs + 1, record: { state: 'received' } },
    replaced: { original: recentMs, manifest: 1_000, record: { state: 'received' } },
    unreadable: { ...recent, record: new AppError('unreadable_record') },
  })
  const read = ['expired', 'living', 'processing', 'ready', 'replaced', 'unreadable', 'unreadable', 'young']
  assert.equal(
    did.filter((each) => each.endsWith('read record')),
    read.map((name) => `${name}: read record`),
  )
  assert.equal(
    did.filter((each) => each.includes(': check')),
    ['living: check', 'processing: check', 'replaced: check'],
  )
  assert.equal(counts, { compared: 1, failed: 1, 'unfinished-record': 3, checked: 3 })
})

test('the index of each owner is compared with all of its uploads that S3 has', async () => {
  const { compared, idOf } = await sweep({
    one: { owner: 'a', original: recentMs },
    other: { owner: 'a', manifest: recentMs },
    third: { owner: 'b', original: recentMs, manifest: recentMs + 1_000 },
  })
  assert.equal(compared, [
    { owner: 'a', after: undefined, upTo: undefined, inS3: new Set([idOf('one'), idOf('other')]) },
    { owner: 'b', after: undefined, upTo: undefined, inS3: new Set([idOf('third')]) },
  ])
})

test('the index of an owner is compared up to the end of a page, and the rest of it with the next page', async () => {
  const { compared, idOf } = await sweep(
    { one: { owner: 'a', original: recentMs }, other: { owner: 'b', original: recentMs } },
    { pageSize: 1 },
  )
  assert.equal(compared, [
    { owner: 'a', after: undefined, upTo: idOf('one'), inS3: new Set([idOf('one')]) },
    { owner: 'a', after: idOf('one'), upTo: undefined, inS3: new Set() },
    { owner: 'b', after: undefined, upTo: undefined, inS3: new Set([idOf('other')]) },
  ])
})

test.run()
