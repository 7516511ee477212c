import { S3Client } from '@aws-sdk/client-s3'
import type { UploadJobState } from '@millrace/shared/jobs/process-upload-job.ts'
import type { Manifest } from '@millrace/shared/ledger/manifest.ts'
import { manifestKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { defaultPreset, type Preset } from '@millrace/shared/presets/preset.ts'
import { recipeVersion } from '@millrace/shared/presets/recipe-version.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createBackfillSlots } from '@millrace/worker/reprocessing/backfill-slots.ts'
import { judgeManifest } from '@millrace/worker/reprocessing/outdated.ts'
import { createReprocessOutdated } from '@millrace/worker/reprocessing/reprocess-outdated.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('reprocessing outdated uploads')
const owner = 's-tester'
const preset = defaultPreset
const presets = new Map([[preset.name, preset]])

function manifestOf(id: string, fields: Partial<Manifest> = {}): Manifest {
  const at = new Date(0).toISOString()
  return {
    version: 1,
    id,
    owner,
    outcome: 'ready',
    intent: { filename: 'a', contentType: 'image/png', size: 1, preset: preset.name },
    arrival: { etag: 'e', versionId: 'v1', size: 1 },
    recipe: 'of an earlier preset',
    findings: {},
    variants: [],
    createdAt: at,
    finishedAt: at,
    ...fields,
  }
}

/** Runs over uploads with a manifest, whose listing this process makes up. */
async function run(
  manifests: Manifest[],
  options: {
    states?: UploadJobState[]
    isReplicated?: boolean
    isCopy?: boolean
    isDryRun?: boolean
    without?: string[]
  } = {},
) {
  const s3 = new S3Client({ region: 'us-east-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })
  s3.middlewareStack.add(
    () => async (args) => {
      const isOriginals = 'Prefix' in args.input && args.input.Prefix === 'originals/'
      const keys = manifests
        .filter(({ id }) => !isOriginals || !options.without?.includes(id))
        .map((manifest) => (isOriginals ? originalKey(manifest) : manifestKey(manifest)))
      const Contents = keys.toSorted().map((Key) => ({ Key, ETag: '"e"', LastModified: new Date(0) }))
      return { response: {}, output: { $metadata: {}, Contents, IsTruncated: false } }
    },
    { step: 'initialize' },
  )
  const jobs: string[] = []
  const { states = [], isReplicated = false, isCopy = false, isDryRun = false } = options
  const counts = await createReprocessOutdated({
    s3,
    bucket: 'uploads',
    manifests: { read: async ({ id }) => manifests.find((each) => each.id === id) },
    edits: { read: async () => undefined },
    originals: {
      find: async ({ id }) => {
        const manifest = manifests.find((each) => each.id === id)
        return manifest && { arrival: manifest.arrival, intent: manifest.intent, isCopy }
      },
    },
    queue: {
      states: async (asked) => asked.map((_, i) => states[i] ?? 'missing'),
      add: async ({ id }, { isBackfill = false } = {}) => void jobs.push(`add ${id} ${isBackfill}`),
      revive: async ({ id }, { isBackfill = false } = {}) => void jobs.push(`revive ${id} ${isBackfill}`),
    },
    takeBackfillSlot: async () => void jobs.push('slot'),
    presets,
    isReplicated,
  })({
    filter: { preset: undefined },
    owner: undefined,
    after: '',
    isDryRun,
    signal: new AbortController().signal,
    onProgress: () => undefined,
  })
  s3.destroy()
  return { counts, jobs }
}

test('an outdated upload gets a job of backfill, and one with the recipe of now none', async () => {
  const outdated = manifestOf(newUploadId())
  const current = manifestOf(newUploadId(), { recipe: recipeVersion(preset) })
  const { counts, jobs } = await run([outdated, current])
  assert.equal(jobs, ['slot', `add ${outdated.id} true`])
  assert.equal(counts, { read: 2, outdated: 1, upToDate: 1, queued: 1 })
})

test('a job that failed is restarted as backfill, and one that waits is left as it is', async () => {
  const [failed, waiting] = [manifestOf(newUploadId()), manifestOf(newUploadId())]
  const { counts, jobs } = await run([failed, waiting], { states: ['failed', 'queued'] })
  assert.equal(jobs, ['slot', `add ${failed.id} true`, `revive ${failed.id} true`])
  assert.equal(counts, { read: 2, outdated: 2, waiting: 1, queued: 1 })
})

test('a copy is left to its region, and bytes that are gone or replaced get no job', async () => {
  const upload = manifestOf(newUploadId())
  const copies = await run([upload], { isReplicated: true, isCopy: true })
  assert.equal([copies.counts, copies.jobs], [{ read: 1, copies: 1 }, []])
  const own = await run([upload], { isReplicated: true })
  assert.equal(own.counts, { read: 1, outdated: 1, queued: 1 })
  const missing = await run([upload], { without: [upload.id] })
  assert.equal([missing.counts, missing.jobs], [{ read: 1, bytesMissing: 1 }, []])
  const replaced = await run([manifestOf(newUploadId(), { arrival: { etag: 'other', size: 1 } })])
  assert.equal([replaced.counts, replaced.jobs], [{ read: 1, bytesReplaced: 1 }, []])
})

test('a dry run adds no job', async () => {
  const { counts, jobs } = await run([manifestOf(newUploadId())], { isDryRun: true })
  assert.equal([counts, jobs], [{ read: 1, outdated: 1 }, []])
})

test('a manifest is outdated by each change of its preset that makes other bytes', () => {
  const [first] = preset.variants
  if (!first) throw new Error('The preset has no variants.')
  const changed = (change: Partial<Preset>) => new Map([[preset.name, { ...preset, ...change }]])
  const manifest = manifestOf(newUploadId(), { recipe: recipeVersion(preset) })
  const judge = (map: ReadonlyMap<string, Preset>) => judgeManifest(manifest, map, { preset: undefined })
  assert.is(judge(presets), 'upToDate')
  assert.is(judge(changed({ variants: preset.variants.slice(1) })), 'outdated')
  assert.is(judge(changed({ variants: [{ ...first, quality: 1 }] })), 'outdated')
  assert.is(judge(new Map()), 'presetRemoved')
  assert.is(judgeManifest(manifest, presets, { preset: 'another' }), 'otherPreset')
})

test('jobs of backfill wait while as many wait as may, whoever added them', async () => {
  const waits: number[] = [3, 1]
  let asked = 0
  const takeSlot = createBackfillSlots({
    queue: {
      async backfillRoom() {
        asked += 1
        return 6 - (waits.shift() ?? 0)
      },
    },
    // Half of them for backfill.
    maxQueuedJobs: 6,
  })
  const { signal } = new AbortController()
  for (let i = 0; i < 2; i++) await takeSlot(signal)
  assert.is(asked, 2, 'three waited, then one: there were two places')
  await takeSlot(signal)
  assert.is(asked, 3)
})

test('a thousand jobs of backfill may wait, or half of what the queue takes', async () => {
  const { signal } = new AbortController()
  for (const [maxQueuedJobs, most] of [
    [1_000_000, 1_000],
    [100, 50],
    [1, 1],
  ] as const) {
    const waits = [most, most - 1]
    const backfillRoom = async () => maxQueuedJobs - (waits.shift() ?? 0)
    await createBackfillSlots({ queue: { backfillRoom }, maxQueuedJobs })(signal)
    assert.equal(waits, [], `${most} waited, so there was no place`)
  }
})

test.run()
