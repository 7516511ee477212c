import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import { type Arrival, isSameArrival, type Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import type { WebhookEvent } from '@millrace/shared/webhooks/webhook-event.ts'
import { createFinishUpload, type Outcome } from '@millrace/worker/processing/finish-upload.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createTestLifecycle } from '../../support/test-lifecycle.ts'
import { createSteppedS3, once } from '../support/stepped-s3.ts'
import { openOutbox, webhookOf } from '../support/webhooks.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('finishing an upload')
const owner = 'acme'
let fleet: WorkerFleet
/** The client of the tested worker. */
let stepped: ReturnType<typeof createSteppedS3>
let tested: ReturnType<typeof createFinishUpload>
/** Another worker at the same time. */
let elsewhere: ReturnType<typeof createTestLifecycle>
let other: ReturnType<typeof createFinishUpload>
let announce: (event: WebhookEvent) => Promise<void> = async () => {}
let outbox: ReturnType<typeof openOutbox>['outbox']

test.before(async () => {
  fleet = await startWorkerFleet()
  stepped = createSteppedS3({ endpoint: fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '', ...fleet.identity })
  const opened = openOutbox(fleet)
  await opened.webhooks.create(webhookOf(owner, '1'))
  outbox = opened.outbox
  elsewhere = createTestLifecycle(fleet)
  other = createFinishUpload(elsewhere)
  tested = createFinishUpload(
    createTestLifecycle({ ...fleet, s3: stepped.s3 }, {}, (event) => announce(event)),
  )
})
test.before.each(() => {
  stepped.before(() => undefined)
  stepped.after(() => undefined)
  announce = async () => {}
})
test.after(async () => {
  stepped.close()
  await fleet.close()
})

const variant = (name: string) => ({
  name,
  key: `variants/${owner}/${name}`,
  contentType: 'image/webp',
  width: 1,
  height: 1,
  size: 1,
})
const ready: Outcome = { outcome: 'ready', recipe: 'one', findings: {}, variants: [variant('w320')] }
const newRecipe: Outcome = { ...ready, recipe: 'two', variants: [variant('w640')] }
const failed: Outcome = {
  outcome: 'failed',
  recipe: 'one',
  findings: {},
  variants: [],
  error: { code: 'processing_failed', message: 'message' },
}
const rejected: Outcome = {
  ...failed,
  outcome: 'rejected',
  error: { code: 'image_corrupt', message: 'message' },
}
const malware: Outcome = { ...rejected, error: { code: 'malware_found', message: 'message' } }

type Arrived = { address: UploadAddress; upload: Upload; arrival: Arrival }

async function arrive(text: string, address?: UploadAddress): Promise<Arrived> {
  const sent = await fleet.arrive(Buffer.from(text), { owner, ...address })
  const received = await elsewhere.receiveUpload(sent)
  if (!received?.upload.arrival) throw new Error('The upload has no bytes.')
  return { address: sent, upload: received.upload, arrival: received.upload.arrival }
}

async function finish(by: typeof tested, { address, upload, arrival }: Arrived, outcome: Outcome) {
  return by.finish(upload, arrival, outcome, await fleet.manifests.readStored(address))
}

const writesManifest = ({ name, key }: { name: string; key: string }) =>
  name === 'PutObject' && key.startsWith('manifests/')

async function outcomesOf({ address }: Arrived) {
  const [manifest, record] = [await fleet.manifests.read(address), await fleet.records.find(address)]
  return [manifest?.outcome, manifest?.recipe, record?.upload.state]
}

test('a failure does not replace a result that another worker writes at the same moment', async () => {
  const arrived = await arrive('one')
  stepped.before(once(writesManifest, () => finish(other, arrived, ready)))
  await finish(tested, arrived, failed)
  assert.equal(await outcomesOf(arrived), ['ready', 'one', 'ready'])
})

test('of two workers that finish the same work at the same moment, the first one counts and is told', async () => {
  const arrived = await arrive('one')
  stepped.before(once(writesManifest, () => finish(other, arrived, ready)))
  const announced: string[] = []
  announce = async ({ type }) => void announced.push(type)
  await finish(tested, arrived, ready)
  assert.equal(await outcomesOf(arrived), ['ready', 'one', 'ready'])
  const { id } = arrived.address
  const events = (await outbox.listOfUpload(tenantKey(owner), id)).filter(
    ({ type }) => type === 'upload.ready',
  )
  const manifest = await fleet.manifests.read(arrived.address)
  assert.equal(
    events.map((event) => event.id),
    [manifest?.eventId],
  )
  assert.equal(announced, [], 'the event of the other one is the one that happened')
})

test('a failure does not replace a result, and a result replaces a failure', async () => {
  const arrived = await arrive('one')
  await finish(tested, arrived, failed)
  assert.equal(await outcomesOf(arrived), ['failed', 'one', 'failed'])
  await finish(tested, arrived, ready)
  assert.equal(await outcomesOf(arrived), ['ready', 'one', 'ready'])
  await finish(tested, arrived, failed)
  await finish(tested, arrived, { ...failed, recipe: 'two' })
  assert.equal(await outcomesOf(arrived), ['ready', 'one', 'ready'])
})

test('the result of another recipe replaces the one before, in the manifest and in the record', async () => {
  const arrived = await arrive('one')
  await finish(tested, arrived, ready)
  await finish(tested, arrived, newRecipe)
  assert.equal(await outcomesOf(arrived), ['ready', 'two', 'ready'])
  const record = await fleet.records.find(arrived.address)
  assert.equal(record?.upload.variants, newRecipe.variants)
})

test('while the manifest is written, no record and no webhook tells its outcome; the event is in the outbox', async () => {
  const arrived = await arrive('one')
  const steps: unknown[] = []
  const { address } = arrived
  const stateNow = async () => (await fleet.records.find(address))?.upload.state
  stepped.before(
    once(writesManifest, async () => {
      const types = (await outbox.listOfUpload(tenantKey(owner), address.id)).map(({ type }) => type)
      steps.push(['writes the manifest', await stateNow(), types])
    }),
  )
  announce = async ({ id, type }) => {
    const manifest = await fleet.manifests.read(address)
    steps.push(['tells', type, await stateNow(), manifest?.eventId === id])
  }
  await finish(tested, arrived, ready)
  assert.equal(steps, [
    ['writes the manifest', 'received', ['upload.ready']],
    ['tells', 'upload.ready', 'ready', true],
  ])
})

test('a worker that dies before its manifest leaves the upload unfinished', async () => {
  const arrived = await arrive('one')
  stepped.before((command) => {
    if (writesManifest(command)) throw new Error('S3 is unavailable')
  })
  const error: unknown = await finish(tested, arrived, ready).catch((thrown: unknown) => thrown)
  assert.match(String(error), 'S3 is unavailable')
  assert.equal(await outcomesOf(arrived), [undefined, undefined, 'received'])
})

test('an upload that is erased before its manifest is written is erased with it, and is not told', async () => {
  const arrived = await arrive('one')
  const announced: string[] = []
  announce = async ({ type }) => void announced.push(type)
  stepped.before(once(writesManifest, () => elsewhere.erasures.mark(arrived.address)))
  await finish(tested, arrived, ready)
  assert.is(await fleet.manifests.read(arrived.address), undefined)
  assert.is(await fleet.records.find(arrived.address), undefined)
  assert.not.ok(announced.includes('upload.ready'))
})

test('a late job of replaced bytes leaves the record of the newer ones as it is, and says so', async () => {
  const older = await arrive('older')
  const newer = await arrive('newer!', older.address)
  await finish(other, newer, newRecipe)
  assert.is(await finish(tested, older, ready), undefined)
  const record = await fleet.records.find(older.address)
  assert.equal(
    [record?.upload.state, record?.upload.variants, record?.upload.arrival],
    ['ready', newRecipe.variants, newer.arrival],
  )
})

test('a replacement that is rejected leaves a ready upload as it was, and names the discarded version', async () => {
  const first = await arrive('first')
  await finish(tested, first, ready)
  const broken = await arrive('broken', first.address)
  await finish(tested, broken, rejected)
  const manifest = await fleet.manifests.read(first.address)
  assert.equal(
    [
      manifest?.outcome,
      manifest?.discarded,
      await fleet.records.find(first.address).then((r) => r?.upload.state),
    ],
    ['ready', [broken.arrival.versionId], 'ready'],
  )
  assert.ok(manifest && isSameArrival(manifest.arrival, first.arrival))
})

test('variants of an upload that is rejected now are withdrawn before its manifest is written', async () => {
  const arrived = await arrive('one')
  await finish(tested, arrived, ready)
  const known: unknown[] = []
  const { withdrawals } = elsewhere
  stepped.before(
    once(writesManifest, async () => known.push((await withdrawals.read(arrived.address))?.keys)),
  )
  await finish(tested, arrived, { ...malware, recipe: 'two' })
  assert.equal(known, [ready.variants.map(({ key }) => key)])
  assert.is((await fleet.manifests.read(arrived.address))?.error?.code, 'malware_found')
})

test('a manifest that other processes keep replacing ends in a conflict, after eight tries', async () => {
  const arrived = await arrive('one')
  let writes = 0
  stepped.before((command) => {
    if (!writesManifest(command)) return undefined
    writes += 1
    // Never the same work, so that this worker must decide anew each time.
    return finish(other, arrived, { ...ready, recipe: `other-${writes}` })
  })
  const error: unknown = await finish(tested, arrived, newRecipe).catch((thrown: unknown) => thrown)
  assert.equal([error instanceof Error && 'code' in error && error.code, writes], ['conflict', 8])

  assert.equal(await outcomesOf(arrived), ['ready', 'other-8', 'ready'])
})

test.run()
