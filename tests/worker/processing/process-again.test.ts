import { ListObjectVersionsCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { uploadVariantsPrefix, variantKey } from '@millrace/shared/ledger/object-keys.ts'
import { defaultPreset, type Preset } from '@millrace/shared/presets/preset.ts'
import { recipeVersion } from '@millrace/shared/presets/recipe-version.ts'
import { AppError, type ErrorCode, errorCatalogue } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Upload, Variant } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { createFailUpload } from '@millrace/worker/processing/fail-upload.ts'
import { createFinishUpload } from '@millrace/worker/processing/finish-upload.ts'
import type { InspectFile } from '@millrace/worker/processing/inspect-file.ts'
import { createProcessUpload } from '@millrace/worker/processing/process-upload.ts'
import { createOriginalReader } from '@millrace/worker/processing/read-original.ts'
import { createReport } from '@millrace/worker/processing/report.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('processing the same file again')
const log = createLog({ level: 'silent', instance: 'test' })
let fleet: WorkerFleet
let lifecycle: ReturnType<typeof createTestLifecycle>

test.before(async () => {
  fleet = await startWorkerFleet()
  lifecycle = createTestLifecycle(fleet)
})
test.after(() => fleet.close())

type Recipe = Preset['variants'][number]
const recipe: Recipe = { name: 'icon', fit: 'cover', width: 16, height: 16, format: 'jpeg', quality: 80 }
const presetOf = (change: Partial<Recipe> = {}): Preset => ({
  name: defaultPreset.name,
  variants: [{ ...recipe, ...change }],
})

/** Creates a worker's handlers. @param inspect inspects a file, whose bytes it gets as text */
function createWorker(
  options: {
    preset?: Preset
    s3?: S3Client
    inspect?: (text: string, upload: Upload) => Promise<Variant[]> | Variant[]
    tellReceived?: (upload: Upload) => Promise<void>
  } = {},
) {
  const { preset = presetOf(), inspect = () => [], tellReceived = async () => {} } = options
  const { s3 = fleet.s3 } = options
  const presets = new Map([[preset.name, preset]])
  const finishUpload = createFinishUpload(lifecycle)
  const inspected: string[] = []
  const inspectFile: InspectFile = async (file, _preset, opened, report) => {
    const { bytes, sha256 } = await opened.readBytes()
    report.findings.sha256 = sha256
    inspected.push(bytes.toString())
    return inspect(bytes.toString(), file.upload)
  }
  const shared = { ...lifecycle, presets, finishUpload, finishedUploads: { add: async () => {} } }
  const processUpload = createProcessUpload({
    ...shared,
    openOriginal: createOriginalReader({ s3, bucket: fleet.bucket }),
    inspectFile,
    tellReceived,
    publishProgress: () => undefined,
    tools: {},
  })
  const failUpload = createFailUpload(shared)
  const attempt = () => ({ log, signal: new AbortController().signal, report: createReport() })
  const jobOf = (address: UploadAddress, etag: string) => ({ version: 1 as const, ...address, etag })
  return {
    /** The files that were inspected, as text. */
    inspected,
    process: (address: UploadAddress, etag: string) => processUpload(jobOf(address, etag), attempt()),
    fail: (address: UploadAddress, etag: string, error: unknown) =>
      failUpload(jobOf(address, etag), error, attempt()),
  }
}

async function arrive(text: string, properties: Parameters<WorkerFleet['arrive']>[1] = {}) {
  const address = await fleet.arrive(Buffer.from(text), properties)
  const received = await lifecycle.receiveUpload(address)
  const { arrival } = received?.upload ?? {}
  if (!arrival) throw new Error('The upload has no bytes.')
  return { address, arrival, etag: arrival.etag }
}

test('a file whose preset changed is processed again, and one whose preset is the same is not', async () => {
  const { address, etag } = await arrive('one')
  const before = createWorker()
  await before.process(address, etag)
  await before.process(address, etag)
  assert.equal(before.inspected, ['one'])
  const changes: Partial<Recipe>[] = [{ quality: 81 }, { width: 17 }, { fit: 'contain' }, { format: 'webp' }]
  for (const change of changes) {
    const preset = presetOf(change)
    const worker = createWorker({ preset })
    await worker.process(address, etag)
    await worker.process(address, etag)
    assert.equal(worker.inspected, ['one'], JSON.stringify(change))
    assert.is((await fleet.manifests.read(address))?.recipe, recipeVersion(preset))
  }
})

test('a changed focal point is processed again if the preset uses it', async () => {
  const preset = presetOf({ position: 'focus' })
  const { address, etag } = await arrive('one', { metadata: { focus: '0.1,0.1' } })
  const worker = createWorker({ preset })
  await worker.process(address, etag)
  await worker.process(address, etag)
  assert.is(worker.inspected.length, 1)
  await lifecycle.records.update(address, (current) => ({
    ...current,
    edit: { revision: 1, metadata: { focus: '0.9,0.9' } },
  }))
  await worker.process(address, etag)
  assert.is(worker.inspected.length, 2)
})

test('a ready upload stays ready while it is processed again', async () => {
  const { address, etag } = await arrive('one')
  await createWorker().process(address, etag)
  fleet.changes.clear()
  const states: unknown[] = []
  const again = createWorker({
    preset: presetOf({ quality: 10 }),
    async inspect() {
      states.push((await fleet.records.find(address))?.upload.state)
      return []
    },
  })
  await again.process(address, etag)
  assert.equal(states, ['ready'])
})

test('a late job of bytes that were replaced does nothing', async () => {
  const older = await arrive('older')
  await arrive('newer', older.address)
  const worker = createWorker()
  await worker.process(older.address, older.etag)
  assert.equal(worker.inspected, [])
  assert.is((await fleet.records.find(older.address))?.upload.state, 'received')
})

test('a job whose bytes are replaced while it runs leaves the manifest of the newer bytes', async () => {
  const older = await arrive('older')
  const newer = createWorker()
  let newerEtag = ''
  const worker = createWorker({
    async inspect(text) {
      if (text === 'older') {
        newerEtag = (await arrive('newer', older.address)).etag
        await newer.process(older.address, newerEtag)
      }
      return []
    },
  })
  await worker.process(older.address, older.etag)
  const [manifest, record] = [
    await fleet.manifests.read(older.address),
    await fleet.records.find(older.address),
  ]
  assert.equal(
    [manifest?.arrival.etag, record?.upload.arrival?.etag, record?.upload.state],
    [newerEtag, newerEtag, 'ready'],
  )
})

test('bytes that are replaced before they are read are not processed as those of the job', async () => {
  const { address, etag } = await arrive('older')
  const s3 = new S3Client({ endpoint: fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '', ...fleet.identity })
  s3.middlewareStack.add(
    (next) => async (args) => {
      // As in a bucket without versions: the key has the newest bytes.
      const { VersionId: _, ...input } = { VersionId: undefined, ...args.input }
      return next({ ...args, input })
    },
    { step: 'initialize' },
  )
  const worker = createWorker({
    s3,
    tellReceived: async () => void (await fleet.arrive(Buffer.from('newer'), address)),
  })
  await worker.process(address, etag)
  assert.equal(worker.inspected, [])
  s3.destroy()
})

test('identical bytes that are sent again while a file is read do not end the attempt', async () => {
  const { address, etag, arrival } = await arrive('same')
  const worker = createWorker({
    async tellReceived() {
      await fleet.arrive(Buffer.from('newer'), address)
    },
  })
  await worker.process(address, etag)
  assert.equal(worker.inspected, ['same'])
  assert.equal((await fleet.manifests.read(address))?.arrival, arrival)
})

test('the same bytes in another version are not processed, and the manifest names that version', async () => {
  const first = await arrive('same')
  const worker = createWorker()
  await worker.process(first.address, first.etag)
  await fleet.arrive(Buffer.from('same'), first.address)
  const current = (await lifecycle.originals.find(first.address))?.arrival
  assert.ok(current)
  await lifecycle.records.update(first.address, (upload) => ({
    ...upload,
    arrival: current,
  }))
  await worker.process(first.address, first.etag)
  assert.equal(worker.inspected, ['same'])
  assert.equal((await fleet.manifests.read(first.address))?.arrival, current)
  assert.equal((await fleet.records.find(first.address))?.upload.arrival, current)
})

test('the job of an erased upload erases the variants that an earlier attempt wrote after the erasure', async () => {
  const { address, etag } = await arrive('one')
  await lifecycle.erasures.mark(address)
  await lifecycle.finishErasure(address)
  const variant = { version: 'v', name: 'icon', sha256: 'ab12', extension: 'jpg' }
  await fleet.s3.send(
    new PutObjectCommand({ Bucket: fleet.bucket, Key: variantKey(address, variant), Body: 'late' }),
  )
  await createWorker().process(address, etag)
  const { Versions = [], DeleteMarkers = [] } = await fleet.s3.send(
    new ListObjectVersionsCommand({ Bucket: fleet.bucket, Prefix: uploadVariantsPrefix(address) }),
  )
  assert.equal([...Versions, ...DeleteMarkers], [])
})

test('each error that is the fault of a file rejects it at its first attempt, and all others are thrown', async () => {
  const faults: ErrorCode[] = [
    'checksum_mismatch',
    'image_corrupt',
    'image_not_supported',
    'image_too_complex',
    'image_too_large',
    'image_too_many_pixels',
    'inspection_refused',
    'malware_found',
    'poison_file',
    'size_mismatch',
    'too_large_to_scan',
    'type_not_allowed',
  ]
  const rejected: string[] = []
  const { address, etag } = await arrive('one')
  for (const code of Object.keys(errorCatalogue).filter((key): key is ErrorCode => key in errorCatalogue)) {
    const error = new AppError(code)
    const outcomes: string[] = []
    const presets = new Map([[defaultPreset.name, presetOf()]])
    const processUpload = createProcessUpload({
      ...lifecycle,
      presets,
      openOriginal: createOriginalReader(fleet),
      async inspectFile() {
        throw error
      },
      finishUpload: {
        applyManifest: async () => 'applied',
        async finish(_upload, _arrival, { outcome }) {
          outcomes.push(outcome)
          return fleet.manifests.read(address)
        },
      },
      finishedUploads: { add: async () => {} },
      tellReceived: async () => {},
      // The upload stays as it is, so that the bytes can be processed once for each code.
      lookup: { find: async () => ({ upload: await current(address), revision: 1 }) },
      records: { ...lifecycle.records, update: async () => undefined },
      publishProgress: () => undefined,
      tools: {},
    })
    const signal = new AbortController().signal
    const thrown: unknown = await processUpload(
      { version: 1, ...address, etag },
      { log, signal, report: createReport() },
    ).catch((each: unknown) => each)
    if (outcomes[0] === 'rejected') rejected.push(code)
    else assert.is(thrown, error, code)
  }
  assert.equal(rejected.toSorted(), faults)
})

async function current(address: UploadAddress): Promise<Upload> {
  const found = await fleet.records.find(address)
  if (!found) throw new Error('There is no record.')
  return found.upload
}

test('a job of replaced bytes that fails leaves the newer ones as they are', async () => {
  const older = await arrive('older')
  const newer = await arrive('newer', older.address)
  const worker = createWorker()
  await worker.fail(older.address, older.etag, new Error('failure'))
  assert.is((await current(older.address)).state, 'received')
  await worker.fail(older.address, newer.etag, new Error('failure'))
  assert.is((await current(older.address)).state, 'failed')
})

test('the owner of a failed upload sees no message of an internal error', async () => {
  const errors = [
    new Error('connect ECONNREFUSED 10.0.0.7:6379'),
    new AppError('conflict', { message: '10.0.0.7' }),
    new AppError('preset_unknown', { message: 'No preset with this name.' }),
  ]
  const seen: unknown[] = []
  for (const error of errors) {
    const { address, etag } = await arrive('one')
    await createWorker().fail(address, etag, error)
    seen.push((await current(address)).error)
  }
  const internal = { code: 'processing_failed', message: errorCatalogue.processing_failed.message }
  assert.equal(seen, [internal, internal, { code: 'preset_unknown', message: 'No preset with this name.' }])
})

test.run()
