import { DeleteObjectCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { sweepStateKey } from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import {
  createSweepStateStore,
  newSweepState,
  type SweepState,
} from '@millrace/worker/reconciliation/sweep-state.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createSteppedS3 } from '../support/stepped-s3.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('state of the sweep')
const log = createLog({ level: 'silent', instance: 'test' })
const state = newSweepState(undefined, Date.UTC(2026, 10, 28))
let fleet: WorkerFleet

test.before(async () => {
  fleet = await startWorkerFleet()
})
test.after(() => fleet.close())
test.before.each(async () => {
  await fleet.s3.send(new DeleteObjectCommand({ Bucket: fleet.bucket, Key: sweepStateKey() }))
})

const openStore = (s3 = fleet.s3) => createSweepStateStore({ s3, bucket: fleet.bucket, log })
const s3Config = () => ({ endpoint: fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '', ...fleet.identity })
const failure = (work: Promise<unknown>) => work.then(() => undefined, String)
const conflict = 'Error: Another worker has continued this sweep.'

test('a new run continues what the last one verified and listed, and nothing else', () => {
  const nowMs = Date.UTC(2026, 10, 29)
  const fresh: SweepState = {
    ...{ version: 1, startedAt: '2026-11-29T00:00:00.000Z', stage: 'erasures', cursor: '', counts: {} },
  }
  const verifiedBefore = '2026-11-27T23:00:00.000Z'
  const variantsListedAt = '2026-11-25T00:00:00.000Z'
  const last: SweepState = {
    ...state,
    ...{ stage: 'objects', cursor: 'a/b', counts: { failed: 1 }, completedAt: '2026-11-28T01:00:00.000Z' },
    ...{ unsettledSince: verifiedBefore, verifiedBefore, variantsListedAt },
  }
  assert.equal(newSweepState(last, nowMs), { ...fresh, verifiedBefore, variantsListedAt })
  assert.equal(Object.keys(newSweepState(state, nowMs)), Object.keys(fresh))
})

test('the first state is written once, and each further one by the process that wrote or read the last one', async () => {
  const [one, other] = [openStore(), openStore()]
  assert.equal([await one.read(), await other.read()], [undefined, undefined])
  await one.write(state)
  await one.write({ ...state, stage: 'objects' })
  assert.is(await failure(other.write(state)), conflict)
  assert.equal(await other.read(), { ...state, stage: 'objects' })
  await other.write({ ...state, stage: 'owners' })
  assert.is(await failure(one.write(state)), conflict)
  assert.equal(await one.read(), { ...state, stage: 'owners' })
})

test('a state that was deleted since it was read is begun anew by who reads again', async () => {
  const store = openStore()
  await store.write(state)
  await fleet.s3.send(new DeleteObjectCommand({ Bucket: fleet.bucket, Key: sweepStateKey() }))
  assert.is(await failure(store.write(state)), conflict)
  assert.is(await store.read(), undefined)
  await store.write(state)
  assert.equal(await store.read(), state)
})

test('a state that is damaged counts as none, and is replaced', async () => {
  for (const Body of ['{"version":1', JSON.stringify({ ...state, stage: 'unknown' }), '\n']) {
    await fleet.s3.send(new PutObjectCommand({ Bucket: fleet.bucket, Key: sweepStateKey(), Body }))
    const store = openStore()
    assert.is(await store.read(), undefined)
    await store.write(state)
    assert.equal(await openStore().read(), state)
  }
})

test('an error of S3 is neither taken for no state nor for a write of another worker', async () => {
  const { s3, before, close } = createSteppedS3(s3Config())
  const unavailable = new Error('S3 is unavailable')
  before(() => {
    throw unavailable
  })
  const store = openStore(s3)
  assert.is(await store.read().catch((error: unknown) => error), unavailable)
  assert.is(await store.write(state).catch((error: unknown) => error), unavailable)
  // One that has a status: there is no such bucket.
  const lost = createSweepStateStore({ s3: fleet.s3, bucket: `${fleet.bucket}-none`, log })
  assert.match((await failure(lost.read())) ?? '', /NoSuchBucket/)
  close()
})

test('a write that the SDK repeats, because its response was lost, has succeeded', async () => {
  const s3 = new S3Client(s3Config())
  s3.middlewareStack.add(
    (next, context) => async (args) => {
      if (context['commandName'] === 'PutObjectCommand') await next(args)
      return next(args)
    },
    { step: 'initialize' },
  )
  const store = openStore(s3)
  await store.read()
  await store.write(state)
  await store.write({ ...state, stage: 'objects' })
  assert.equal(await openStore().read(), { ...state, stage: 'objects' })
  s3.destroy()
})

test.run()
