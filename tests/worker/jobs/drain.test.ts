import { AutoScalingClient } from '@aws-sdk/client-auto-scaling'
import { createLog } from '@millrace/shared/service/log.ts'
import { createDrainInstance } from '@millrace/worker/instance/drain-instance.ts'
import { createInstanceMetadata } from '@millrace/worker/instance/instance-metadata.ts'
import { createScaleInProtection } from '@millrace/worker/instance/scale-in-protection.ts'
import { createTerminationHook } from '@millrace/worker/instance/termination-hook.ts'
import { createTerminationNotices } from '@millrace/worker/instance/termination-notices.ts'
import { createOldestJob } from '@millrace/worker/jobs/oldest-job.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { type FakeInstance, hook, instance, startFakeInstance } from '../support/fake-instance.ts'
import { type S3Proxy, startS3Proxy } from '../support/s3-proxy.ts'
import { sampleImage } from '../support/sample-images.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('drain')
const targetState = 'autoscaling/target-lifecycle-state'
let fleet: WorkerFleet
let proxy: S3Proxy
let fake: FakeInstance

test.before(async () => {
  fleet = await startWorkerFleet()
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
})
test.after(async () => {
  await fleet.close()
  await proxy.close()
})
test.before.each(async () => {
  fake = await startFakeInstance()
})
test.after.each(() => fake.close())

/** A log whose lines a test sees: their events. */
function createSeenLog() {
  const lines: string[] = []
  const write = (line: string) => void lines.push(JSON.parse(line).event)
  return { lines, log: createLog({ level: 'info', instance: 'test' }, { write }) }
}

/** The parts that watch and leave, in this process, with intervals of a test's patience. */
function createParts(drain: (deadlineMs: number) => Promise<void>) {
  const { lines, log } = createSeenLog()
  const metadata = createInstanceMetadata({ endpoint: fake.metadataEndpoint })
  const notices = createTerminationNotices({ metadata, log, intervalMs: 5 })
  const autoScaling = new AutoScalingClient({ endpoint: fake.autoScalingEndpoint, ...fleet.identity })
  const termination = createTerminationHook({ autoScaling, metadata, name: hook, log })
  const leave = createDrainInstance({
    notices,
    hook: termination,
    drain,
    drainDeadlineMs: 25_000,
    heartbeatMs: 5,
  })
  return { lines, metadata, notices, leave }
}

/** Scale-in protection, with work whose clock the test moves. */
function createProtection(more: { oldestJob?: { ageMs(): number }; longWorkMs?: number } = {}) {
  const { lines, log } = createSeenLog()
  const clock = { ms: 0 }
  const work = createOldestJob(() => clock.ms)
  const autoScaling = new AutoScalingClient({
    endpoint: fake.autoScalingEndpoint,
    maxAttempts: 1,
    ...fleet.identity,
  })
  const protection = createScaleInProtection({
    autoScaling,
    metadata: createInstanceMetadata({ endpoint: fake.metadataEndpoint }),
    oldestJob: work,
    longWorkMs: 30_000,
    intervalMs: 1,
    log,
    ...more,
  })
  const { signal } = new AbortController()
  return { ...protection, lines, clock, begin: work.begin, look: () => protection.look(signal) }
}

test('a terminating instance hands back what outlasts the deadline, at once, and then lets the group end it', async () => {
  const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/variants/'))
  const leaving = await fleet.spawnWorker({
    ...fake.environment,
    AWS_ENDPOINT_URL_S3: proxy.endpoint,
    DRAIN_DEADLINE_MS: '100',
    NOTICE_INTERVAL_MS: '20',
    LONG_WORK_MS: '10',
    HEALTH_PORT: '0',
  })
  const { port } = await leaving.log.until(({ event }) => event === 'health')
  const health = await fetch(`http://127.0.0.1:${port}/health`)
  assert.is(health.status, 200)
  assert.match(await health.text(), '"status":"ok"')

  await fake.untilCalls(1)
  const image = await sampleImage('image/jpeg')
  const addresses = [await fleet.arrive(image)]
  await held.arrived
  await fake.untilCalls(2)
  const heir = await fleet.spawnWorker()
  fake.items.set(targetState, 'Terminated')
  for (let more = 0; more < 4; more++) addresses.push(await fleet.arrive(image))
  const uploads = await Promise.all(addresses.map((address) => fleet.finished(address)))
  assert.is(await leaving.exit(), 0)
  held.release()

  for (const { id, state } of uploads) {
    assert.is(state, 'ready')
    assert.equal(fleet.changes.states(id), ['received', 'processing', 'ready'], 'told once')
  }
  assert.is(
    heir.log.lines.some(({ event }) => event === 'stalled'),
    false,
    'no lock had to run out',
  )
  assert.equal(fake.calls, [
    'SetInstanceProtection false',
    'SetInstanceProtection true',
    'RecordLifecycleActionHeartbeat',
    'CompleteLifecycleAction CONTINUE',
  ])
  assert.ok(fake.isCompleted())
  const events = leaving.log.lines.map(({ event }) => event)
  const order = ['closing', 'handed-back', 'termination-completed', 'closed']
  assert.equal(
    events.filter((event) => order.includes(`${event}`)),
    order,
  )
  heir.kill('SIGKILL')
})

test('a Spot instance that is taken back leaves, and completes nothing that nobody waits for', async () => {
  const atMs = Date.now() + 120_000
  const time = new Date(atMs).toISOString()
  fake.items.set('spot/instance-action', JSON.stringify({ action: 'terminate', time }))
  const { notices, leave } = createParts(async () => {})
  const notice = await notices.first(new AbortController().signal)
  assert.equal(notice, { kind: 'spot-interruption', atMs })
  if (notice) await leave(notice)
  assert.equal(fake.calls, [])
})

test('a Spot instance drains within what is left of its time, and lets a group that waits go on', async () => {
  const deadlines: number[] = []
  const { leave } = createParts(async (deadlineMs) => void deadlines.push(deadlineMs))
  fake.items.set(targetState, 'Terminated')
  await leave({ kind: 'spot-interruption', atMs: Date.now() + 120_000 })
  await leave({ kind: 'spot-interruption', atMs: Date.now() + 20_000 })
  await leave({ kind: 'spot-interruption', atMs: Date.now() })
  const [ample = 0, short = 0, none] = deadlines
  assert.is(ample, 25_000)
  assert.ok(short > 0 && short <= 5_000)
  assert.is(none, 0)
  assert.is(fake.calls[0], 'CompleteLifecycleAction CONTINUE')
})

test('a busy instance keeps the group waiting until its work is done', async () => {
  const work = Promise.withResolvers<void>()
  const { leave } = createParts(() => work.promise)
  fake.items.set(targetState, 'Terminated')
  const left = leave({ kind: 'termination' })
  await fake.untilCalls(3)
  assert.is(fake.isCompleted(), false)
  assert.equal(new Set(fake.calls), new Set(['RecordLifecycleActionHeartbeat']))
  work.resolve()
  await left
  assert.is(fake.calls.at(-1), 'CompleteLifecycleAction CONTINUE')
})

test('an instance leaves although the group does not listen', async () => {
  const { leave, lines } = createParts(async () => {})
  await leave({ kind: 'termination' })
  assert.equal(lines, ['heartbeat-failed', 'termination-completed-failed'])
})

test('watches through answers that fail and tokens that run out, and stays on a recommendation', async () => {
  const { notices, metadata, lines } = createParts(async () => {})
  fake.items.set('events/recommendations/rebalance', '{"noticeTime":"2026-01-01T00:00:00Z"}')
  fake.items.set('spot/instance-action', 'not JSON')
  const first = notices.first(new AbortController().signal)
  while (fake.questions.length < 12) await metadata.read('instance-id')
  fake.expireTokens()
  fake.items.delete('spot/instance-action')
  fake.items.set(targetState, 'Terminated')
  assert.equal(await first, { kind: 'termination' })
  assert.equal(lines, ['rebalance-recommended', 'notices-unread'])
  assert.ok(fake.questions.filter((path) => path === 'token').length >= 2)
})

test('stops watching when the worker is told to stop', async () => {
  const { notices } = createParts(async () => {})
  const stopping = new AbortController()
  const first = notices.first(stopping.signal)
  stopping.abort()
  assert.is(await first, undefined)
})

test('metadata that refuses says so', async () => {
  const metadata = createInstanceMetadata({ endpoint: fake.autoScalingEndpoint })
  await metadata.read('instance-id').then(assert.unreachable, (error: Error) => {
    assert.match(error.message, 'Instance metadata gave no token: 400')
  })
})

test('long work holds the instance until none is left, and short jobs cause no call', async () => {
  const { clock, begin, look, lines } = createProtection()
  const isHeldAt = async (ms: number) => {
    clock.ms = ms
    await look()
    return fake.isProtected()
  }
  const endFirst = begin()
  assert.is(await isHeldAt(29_999), false)
  assert.is(await isHeldAt(30_000), true)
  const endSecond = begin()
  assert.is(await isHeldAt(61_000), true)
  endFirst()
  assert.is(await isHeldAt(62_000), true, 'the second one is long by now')
  endSecond()
  begin()
  assert.is(await isHeldAt(63_000), false)
  // Long, and over before anybody looks.
  begin()()
  assert.is(await isHeldAt(64_000), false)
  assert.equal(fake.calls, [
    'SetInstanceProtection false',
    'SetInstanceProtection true',
    'SetInstanceProtection false',
  ])
  assert.equal(lines, ['instance-given-back', 'instance-held', 'instance-given-back'])
})

test('a worker gives back what one that crashed before it held', async () => {
  const crashed = createProtection()
  crashed.begin()
  crashed.clock.ms = 30_000
  await crashed.look()
  assert.ok(fake.isProtected())
  await createProtection().look()
  assert.is(fake.isProtected(), false)
})

test('a call that the group refuses is made again, and warned of once', async () => {
  const { clock, begin, look, lines } = createProtection()
  begin()
  clock.ms = 30_000
  fake.items.set(targetState, 'Pending:Wait')
  for (const refused of [look, look]) await refused()
  assert.equal(lines, ['scale-in-protection-failed'])
  fake.items.delete('instance-id')
  await look()
  assert.is(fake.calls.length, 2, 'nothing can be asked of a group that is not known')
  fake.items.set('instance-id', instance)
  fake.items.set(targetState, 'InService')
  await look()
  assert.ok(fake.isProtected())
  assert.equal(lines, ['scale-in-protection-failed', 'instance-held'])
})

test('a call that was heard although it seemed to fail is taken back', async () => {
  const { clock, begin, look } = createProtection()
  await look()
  const end = begin()
  clock.ms = 30_000
  fake.setAnswers('lost')
  await look()
  assert.ok(fake.isProtected())
  fake.setAnswers('given')
  end()
  await look()
  assert.is(fake.isProtected(), false)
})

test('looks come one after the other, and end with the watch', async () => {
  let looks = 0
  const { watch } = createProtection({ longWorkMs: 1, oldestJob: { ageMs: () => ++looks % 2 } })
  const stopping = new AbortController()
  const watched = watch(stopping.signal)
  await fake.untilCalls(6)
  stopping.abort()
  await watched
  const answered = fake.calls.length
  assert.equal(
    fake.calls,
    Array.from({ length: answered }, (_, index) => `SetInstanceProtection ${index % 2 === 0}`),
  )
  assert.is(fake.mostUnderWay(), 1)
})

test('an instance that is chosen ends a call under way, and does not complain', async () => {
  const { watch, lines } = createProtection({ longWorkMs: 1, oldestJob: { ageMs: () => 1 } })
  const stopping = new AbortController()
  fake.setAnswers('held')
  const watched = watch(stopping.signal)
  await fake.untilCalls(1)
  stopping.abort()
  await watched
  assert.equal(lines, [])
})

test.run()
