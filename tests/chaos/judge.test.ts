import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'
import { createFiles, type FileKind } from './files.ts'
import { type Evidence, judge, type View, type ViolationKind } from './judge.ts'
import type { LedgerUpload, ManifestEvidence, StoredVersion } from './ledger.ts'
import type { SentUpload } from './sent-upload.ts'
import type { Told } from './watchers.ts'

const id = '01a21be4-91fb-770a-b110-3914c60a8d95'
const otherId = '01a21be5-4943-767b-8113-9dec4eebc57c'
const variantKey = `variants/anna/${id}/images/small.webp`
const files = await createFiles()
const anna = { name: 'anna', key: 'mr_anna' }

function version(key: string, versionId: string): StoredVersion {
  return { key, versionId, etag: 'e', size: 100, lastModifiedMs: 1_000, isLatest: true }
}

function manifest(changes: Partial<ManifestEvidence> = {}): LedgerUpload['manifests'][number] {
  return {
    version: version(`manifests/anna/${id}.json`, 'm1'),
    content: {
      ...{
        outcome: 'ready',
        code: undefined,
        arrivalVersionId: 'v1',
        arrivalEtag: 'e',
        filename: '000001.jpg',
        sha256: undefined,
      },
      variants: [{ name: 'small', key: variantKey, width: 32, height: 21, size: 100 }],
      ...changes,
    },
  }
}

/** Returns the evidence of a run in which one image was sent, finished, watched and listed. */
function healthy(kind: FileKind = 'jpeg') {
  const file = files.make(kind, 1)
  const sent: SentUpload = {
    ...{ number: 1, owner: anna, way: 'direct-raw', file, idempotencyKey: 'key', startedAtMs: 0 },
    ids: new Set([id]),
    accepted: { id, atMs: 500 },
  }
  const upload: LedgerUpload = {
    ...{ id, owner: 'anna', remains: [], isMarked: false },
    originals: [version(`originals/anna/${id}`, 'v1')],
    current: { version: version(`originals/anna/${id}`, 'v1'), sha256: file.sha256, filename: file.filename },
    manifests: [manifest()],
    variants: new Map([[variantKey, { ...version(variantKey, 'r1'), width: 32, height: 21 }]]),
  }
  const uploads = new Map([[id, upload]])
  const views = new Map<string, View>([[id, { status: 200, state: 'ready', variants: ['small'] }]])
  const list = new Map([[id, 'ready']])
  const told = new Map<string, Told>([[id, { id, owner: 'anna', state: 'ready' }]])
  const toldOwner = new Map([[id, 'ready']])
  const evidence: Evidence = {
    sent: [sent],
    ledger: { uploads, unknownKeys: [] },
    ...{ views, told, leaks: [], crashes: [], staleServices: [] },
    lists: new Map([['anna', list]]),
    strangers: new Map([[id, 404]]),
    toldOwners: new Map([['anna', toldOwner]]),
    messages: { waiting: 0, invisible: 0, dead: 0 },
    redis: {
      ...{ baseBytes: 1_000_000, usedBytes: 1_000_000, expiringBytes: 0 },
      ...{ counts: {}, lasting: { 'uploads:meta': 1 }, jobs: { 'uploads wait': 0 } },
    },
  }
  return { sent, upload, uploads, views, list, told, toldOwner, evidence }
}

type Run = ReturnType<typeof healthy>

/** Removes everything of the upload from S3 and from what the API and its events say. */
function erase({ uploads, views, list, told, toldOwner }: Run): void {
  uploads.clear()
  views.set(id, { status: 404, variants: [] })
  list.clear()
  told.set(id, { id, owner: 'anna', state: 'gone' })
  toldOwner.set(id, 'erased')
}

const receipt = { id, askedAtMs: 600, answer: 'receipt', atMs: 700 } as const

/** What is wrong with a run, and the violations that the judge must report. */
const faulty: [name: string, expected: ViolationKind[], plant: (run: Run) => void][] = [
  ['an accepted upload that S3 does not have is lost', ['lost'], erase],
  [
    'an original without a manifest is unfinished',
    ['unfinished'],
    ({ upload }) => void upload.manifests.splice(0),
  ],
  [
    'a manifest of older bytes leaves an upload unfinished',
    ['unfinished'],
    ({ upload }) => upload.manifests.splice(0, 1, manifest({ arrivalVersionId: 'v0', arrivalEtag: 'f' })),
  ],
  [
    'an original with other bytes than were sent is wrong',
    ['wrong-bytes'],
    ({ upload }) => {
      if (upload.current) upload.current.sha256 = 'other'
    },
  ],
  [
    'a good image that failed has a wrong outcome',
    ['wrong-outcome', 'view-disagrees', 'not-told', 'owner-not-told', 'list-disagrees'],
    ({ upload }) => upload.manifests.splice(0, 1, manifest({ outcome: 'failed', code: 'processing_failed' })),
  ],
  [
    'a manifest that replaced another outcome of the same bytes is reported',
    ['outcome-changed'],
    ({ upload }) => upload.manifests.push(manifest({ outcome: 'failed' })),
  ],
  [
    'a second manifest of the same bytes is reported',
    ['manifest-doubled'],
    ({ upload }) => upload.manifests.push(manifest()),
  ],
  [
    'a listed variant that S3 does not have is missing',
    ['variant-missing'],
    ({ upload }) => upload.variants.clear(),
  ],
  [
    'a variant of another size than listed is damaged',
    ['variant-damaged'],
    ({ upload }) => upload.variants.set(variantKey, { ...version(variantKey, 'r1'), width: 31, height: 21 }),
  ],
  [
    'a variant that cannot be decoded is damaged',
    ['variant-damaged'],
    ({ upload }) =>
      upload.variants.set(variantKey, { ...version(variantKey, 'r1'), width: 0, height: 0, problem: 'cut' }),
  ],
  [
    'a variant that no manifest lists is an orphan',
    ['orphan'],
    ({ upload }) => upload.variants.set('other', { ...version('other', 'r2'), width: 1, height: 1 }),
  ],
  [
    'variants without a manifest and without an original are orphans',
    ['orphan', 'lost', 'list-disagrees'],
    ({ upload }) => {
      upload.originals = []
      upload.current = undefined
      upload.manifests.splice(0)
    },
  ],
  [
    'a manifest without an original is an orphan',
    ['orphan'],
    ({ upload }) => {
      upload.originals = []
      upload.current = undefined
    },
  ],
  [
    'objects of an upload with a receipt of its erasure remain',
    ['erased-remains', 'erased-visible', 'erased-visible'],
    ({ sent }) => {
      sent.erasure = receipt
    },
  ],
  [
    'objects of an upload with an erasure marker remain, also without a receipt',
    ['erased-remains', 'erased-visible', 'erased-visible'],
    ({ upload }) => {
      upload.isMarked = true
    },
  ],
  [
    'an upload that was accepted before DELETE said 404 is reported',
    ['erasure-refused'],
    ({ sent }) => {
      sent.erasure = { ...receipt, answer: 'not-found' }
    },
  ],
  [
    'two uploads of one Idempotency-Key are reported',
    ['key-doubled'],
    ({ uploads, upload, views, list, toldOwner }) => {
      uploads.set(otherId, { ...upload, id: otherId })
      views.set(otherId, { status: 200, state: 'ready', variants: ['small'] })
      list.set(otherId, 'ready')
      toldOwner.set(otherId, 'ready')
    },
  ],
  [
    'a view of another state than in S3 disagrees',
    ['view-disagrees'],
    ({ views }) => views.set(id, { status: 200, state: 'awaiting', variants: [] }),
  ],
  [
    'a finished upload that GET does not find disagrees',
    ['view-disagrees'],
    ({ views }) => views.set(id, { status: 404, variants: [] }),
  ],
  ['a list without a finished upload disagrees', ['list-disagrees'], ({ list }) => list.clear()],
  [
    'a list with a finished upload that S3 does not have disagrees',
    ['list-disagrees'],
    ({ list }) => list.set(otherId, 'ready'),
  ],
  [
    'a watcher that heard nothing was not told',
    ['not-told'],
    ({ told }) => told.set(id, { id, owner: 'anna', state: undefined }),
  ],
  [
    'a watcher of all uploads that missed the end was not told',
    ['owner-not-told'],
    ({ toldOwner }) => toldOwner.set(id, 'processing'),
  ],
  [
    'an upload that another owner can see is reported',
    ['seen-by-another-owner'],
    ({ evidence }) => Object.assign(evidence, { strangers: new Map([[id, 200]]) }),
  ],
  [
    'jobs and messages that are left are reported',
    ['messages-left', 'dead-letters', 'jobs-left'],
    ({ evidence }) => {
      evidence.messages.waiting = 1
      evidence.messages.dead = 2
      evidence.redis.jobs['uploads wait'] = 3
    },
  ],
  [
    'memory that Redis keeps besides keys that expire is reported',
    ['redis-grew', 'redis-grew'],
    ({ evidence }) => {
      evidence.redis.usedBytes += 50_000_000
      evidence.redis.expiringBytes = 1_000_000
      evidence.redis.lasting['forgotten:{id}'] = 100
    },
  ],
  [
    'an exit that no fault caused is reported',
    ['crash'],
    ({ evidence }) => Object.assign(evidence, { crashes: [{ service: 'api-1', atMs: 0 }] }),
  ],
]

const test = suite('Judgement of a chaos run')

test('a run in which everything is as promised has no violation', () => {
  assert.equal(judge(healthy().evidence), [])
})

for (const [name, expected, plant] of faulty) {
  test(name, () => {
    const run = healthy()
    plant(run)
    assert.equal(
      judge(run.evidence)
        .map(({ kind }) => kind)
        .sort(),
      expected.toSorted(),
    )
  })
}

/** Runs that look odd and are right. */
const odd: [name: string, plant: (run: Run) => void][] = [
  [
    'an erased upload of which nothing is left',
    (run) => {
      erase(run)
      run.sent.erasure = receipt
    },
  ],
  [
    'an announced upload whose bytes never came',
    (run) => {
      erase(run)
      delete run.sent.accepted
      run.list.set(id, 'awaiting')
    },
  ],
  [
    'DELETE did not find an upload whose bytes came later',
    ({ sent }) => {
      sent.erasure = { ...receipt, answer: 'not-found', askedAtMs: 400 }
    },
  ],
  [
    'the same bytes that were sent twice have a manifest for each version',
    ({ upload }) => upload.manifests.push(manifest({ arrivalVersionId: 'v0' })),
  ],
  [
    'the same bytes came again after their manifest',
    ({ upload }) => upload.manifests.splice(0, 1, manifest({ arrivalVersionId: 'v0' })),
  ],
  [
    'a client without an Idempotency-Key sent a file twice',
    ({ sent, uploads, upload, views, list, toldOwner }) => {
      delete sent.idempotencyKey
      uploads.set(otherId, { ...upload, id: otherId })
      views.set(otherId, { status: 200, state: 'ready', variants: ['small'] })
      list.set(otherId, 'ready')
      toldOwner.set(otherId, 'ready')
    },
  ],
]

for (const [name, plant] of odd) {
  test(`${name}: no violation`, () => {
    const run = healthy()
    plant(run)
    assert.equal(judge(run.evidence), [])
  })
}

test('bytes that differ from what was announced are deleted, and their manifest is no orphan', () => {
  const run = healthy('refused-text')
  const { upload, views, list, told, toldOwner, evidence } = run
  upload.originals = []
  upload.current = undefined
  upload.variants.clear()
  const content = { outcome: 'rejected', code: 'type_not_allowed', filename: '000001.txt', variants: [] }
  upload.manifests.splice(0, 1, manifest(content))
  views.set(id, { status: 200, state: 'rejected', variants: [] })
  list.set(id, 'rejected')
  told.set(id, { id, owner: 'anna', state: 'rejected' })
  toldOwner.set(id, 'rejected')
  assert.equal(judge(evidence), [])
})

test.run()
