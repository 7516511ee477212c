import { ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { erasureKey } from '@millrace/shared/ledger/object-keys.ts'
import { defaultPreset } from '@millrace/shared/presets/preset.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Arrival } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { createFinishUpload } from '@millrace/worker/processing/finish-upload.ts'
import { createProcessUpload } from '@millrace/worker/processing/process-upload.ts'
import { createOriginalReader } from '@millrace/worker/processing/read-original.ts'
import { createReport } from '@millrace/worker/processing/report.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { startWorkerFleet, type WorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('convergence of events, jobs and erasures', {}, { limitMs: 120_000 })
const log = createLog({ level: 'silent', instance: 'test' })
let fleet: WorkerFleet
let lifecycle: ReturnType<typeof createTestLifecycle>
let processUpload: ReturnType<typeof createProcessUpload>

test.before(async () => {
  fleet = await startWorkerFleet()
  lifecycle = createTestLifecycle(fleet)
  processUpload = createProcessUpload({
    ...lifecycle,
    presets: new Map([[defaultPreset.name, defaultPreset]]),
    openOriginal: createOriginalReader(fleet),
    async inspectFile(_file, _preset, opened, report) {
      report.findings.sha256 = (await opened.hash()).sha256
      return []
    },
    finishUpload: createFinishUpload(lifecycle),
    finishedUploads: { add: async () => {} },
    tellReceived: async () => {},
    publishProgress: () => undefined,
    tools: {},
  })
})
test.after(() => fleet.close())

/** What may happen to an upload, in any order and any number of times. */
const steps = [
  'send',
  'send other',
  'event',
  'first event',
  'job',
  'first job',
  'mark',
  'erase',
  'lose Redis',
] as const
type Step = (typeof steps)[number]

/** Runs the steps on a new upload. @returns its address, once what is left to do was done */
async function play(order: readonly Step[]): Promise<UploadAddress> {
  const address = await fleet.arrive(Buffer.from('first'))
  const first = (await lifecycle.originals.find(address))?.arrival
  const key = `${fleet.prefix}:{${address.owner}}:upload:${address.id}`
  const current = async () => (await lifecycle.originals.find(address))?.arrival
  const event = async (arrival: Arrival | undefined) => {
    await lifecycle.receiveUpload(address, { versionId: arrival?.versionId })
  }
  const job = async (arrival: Arrival | undefined) => {
    const attempt = { log, signal: new AbortController().signal, report: createReport() }
    if (arrival) await processUpload({ version: 1, ...address, etag: arrival.etag }, attempt)
  }
  const run: Record<Step, () => Promise<unknown>> = {
    send: () => fleet.arrive(Buffer.from('first'), address),
    'send other': () => fleet.arrive(Buffer.from('other'), address),
    event: async () => event(await current()),
    'first event': () => event(first),
    job: async () => job(await current()),
    'first job': () => job(first),
    mark: () => lifecycle.erasures.mark(address),
    async erase() {
      await lifecycle.erasures.mark(address)
      await lifecycle.finishErasure(address)
    },
    'lose Redis': () => fleet.redis.del(key, key.replace(':upload:', ':erased:')),
  }
  for (const step of order) await run[step]()
  // The messages that S3 has not got back yet, and the job of what they find.
  for (let i = 0; i < 2; i++) {
    if (await lifecycle.erasures.isMarked(address)) await lifecycle.finishErasure(address)
    await event(await current())
    await job(await current())
  }
  return address
}

test('any order and repetition of events, jobs, files and an erasure ends in what S3 has', async () => {
  await checkProperty(
    fc.asyncProperty(fc.array(fc.constantFrom(...steps), { maxLength: 7 }), async (order) => {
      const address = await play(order)
      const [found, original] = [
        await lifecycle.lookup.find(address),
        await lifecycle.originals.find(address),
      ]
      const manifest = await fleet.manifests.read(address)
      if (order.includes('mark') || order.includes('erase')) {
        const { Versions = [] } = await fleet.s3.send(new ListObjectVersionsCommand({ Bucket: fleet.bucket }))
        const left = Versions.map(({ Key = '' }) => Key).filter((key) => key.includes(address.id))
        assert.equal([found, left], [undefined, [erasureKey(address)]])
        return
      }
      assert.is(found?.upload.state, 'ready')
      assert.equal(found?.upload.arrival, original?.arrival)
      assert.equal(manifest?.arrival, original?.arrival)
      assert.is(order.includes('send other') || manifest?.arrival.size === 5, true)
    }),
    { runs: 6 },
  )
})

test.run()
