import { AutoScalingClient } from '@aws-sdk/client-auto-scaling'
import { createLog } from '@millrace/shared/service/log.ts'
import { createDrainInstance, defaultHeartbeatMs } from '@millrace/worker/instance/drain-instance.ts'
import { createInstanceMetadata } from '@millrace/worker/instance/instance-metadata.ts'
import { createScaleInProtection } from '@millrace/worker/instance/scale-in-protection.ts'
import { createTerminationHook } from '@millrace/worker/instance/termination-hook.ts'
import { createTerminationNotices } from '@millrace/worker/instance/termination-notices.ts'
import { createOldestJob } from '@millrace/worker/jobs/oldest-job.ts'
import * as assert from 'uvu/assert'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { type FakeInstance, hook, instance, startFakeInstance } from '../support/fake-instance.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('instance drain')
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

/** A log that records the event of each line. */
function createRecordingLog() {
  const lines: string[] = []
  const write = (line: string) => void lines.push(JSON.parse(line).event)
  return { lines, log: createLog({ level: 'info', instance: 'test' }, { write }) }
}

/** Termination notices and drain in this process, with short intervals. */
function createParts(drainWorker: (deadlineMs: number) => Promise<void>) {
  const { lines, log } = createRecordingLog()
  const metadata = createInstanceMetadata({ endpoint: fake.metadataEndpoint })
  const notices = createTerminationNotices({ metadata, log, intervalMs: 5 })
  const autoScaling = new AutoScalingClient({ endpoint: fake.autoScalingEndpoint, ...fleet.identity })
  const termination = createTerminationHook({ autoScaling, metadata, name: hook, log })
  const drain = createDrainInstance({
    notices,
    hook: termination,
    drainWorker,
    drainDeadlineMs: 25_000,
    heartbeatMs: 5,
  })
  return { lines, metadata, notices, drain }
}

/** Scale-in protection with jobs on a clock that the test sets. */
function createProtection(options: { oldestJob?: { ageMs(): number }; longWorkMs?: number } = {}) {
  const { lines, log } = createRecordingLog()
  const clock = { ms: 0 }
  const oldestJob = createOldestJob(() => clock.ms)
  const autoScaling = new AutoScalingClient({
    endpoint: fake.autoScalingEndpoint,
    maxAttempts: 1,
    ...fleet.identity,
  })
  const protection = createScaleInProtection({
    autoScaling,
    metadata: createInstanceMetadata({ endpoint: fake.metadataEndpoint }),
    oldestJob,
    longWorkMs: 30_000,
    intervalMs: 1,
    log,
    ...options,
  })
  const { signal } = new AbortController()
  return { ...protection, lines, clock, begin: oldestJob.begin, update: () => protection.update(signal) }
}

test('a terminating instance hands back jobs at the drain deadline and then completes the hook', async () => {
  const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/manifests/'))
  const draining = await fleet.spawnWorker({
    ...fake.environment,
    AWS_ENDPOINT_URL_S3: proxy.endpoint,
    DRAIN_DEADLINE_MS: '100',
    NOTICE_INTERVAL_MS: '20',
    LONG_WORK_MS: '10',
    HEALTH_PORT: '0',
  })
  const { port } = await draining.log.until(({ event }) => event === 'health')
  const health = await fetch(`http://127.0.0.1:${port}/health`)
  assert.is(health.status, 200)
  assert.match(await health.text(), '"status":"ok"')

  await fake.untilCalls(1)
  const file = Buffer.from('just text')
  const addresses = [await fleet.arrive(file)]
  await held.arrived
  await fake.untilCalls(2)
  const successor = await fleet.startWorker({ environment: { LOG_LEVEL: 'info' } })
  fake.items.set(targetState, 'Terminated')
  for (let count = 0; count < 4; count++) addresses.push(await fleet.arrive(file))
  const uploads = await Promise.all(addresses.map((address) => fleet.finished(address)))
  assert.is(await draining.exit(), 0)
  held.release()

  for (const { id, state } of uploads) {
    assert.is(state, 'ready')
    assert.equal(
      fleet.changes.states(id),
      ['received', 'processing', 'ready'],
      'each state is published once',
    )
  }
  assert.is(
    successor.log.lines.some(({ event }) => event === 'stalled'),
    false,
    'no lock had to expire',
  )
  assert.equal(fake.calls, [
    'SetInstanceProtection false',
    'SetInstanceProtection true',
    'RecordLifecycleActionHeartbeat',
    'CompleteLifecycleAction CONTINUE',
  ])
  assert.ok(fake.isCompleted())
  const events = draining.log.lines.map(({ event }) => event)
  const order = ['closing', 'handed-back', 'termination-completed', 'closed']
  assert.equal(
    events.filter((event) => order.includes(`${event}`)),
    order,
  )
})

test('three heartbeats fit into the shortest timeout that a lifecycle hook may have, 30 s', () => {
  assert.ok(3 * defaultHeartbeatMs <= 30_000)
})

test('an interrupted Spot instance drains and does not complete the hook if the group does not wait', async () => {
  const atMs = Date.now() + 120_000
  const time = new Date(atMs).toISOString()
  fake.items.set('spot/instance-action', JSON.stringify({ action: 'terminate', time }))
  const { notices, drain } = createParts(async () => {})
  const notice = await notices.waitForFirst(new AbortController().signal)
  assert.equal(notice, { kind: 'spot-interruption', atMs })
  if (notice) await drain(notice)
  assert.equal(fake.calls, [])
})

test('an interrupted Spot instance drains within its remaining time and completes the hook if the group waits', async () => {
  const deadlines: number[] = []
  const { drain } = createParts(async (deadlineMs) => void deadlines.push(deadlineMs))
  fake.items.set(targetState, 'Terminated')
  await drain({ kind: 'spot-interruption', atMs: Date.now() + 120_000 })
  const beforeMs = Date.now()
  await drain({ kind: 'spot-interruption', atMs: beforeMs + 20_000 })
  const tookMs = Date.now() - beforeMs
  await drain({ kind: 'spot-interruption', atMs: Date.now() })
  const [ample = 0, short = 0, none] = deadlines
  assert.is(ample, 25_000)
  assert.ok(short <= 5_000 && short >= 5_000 - tookMs, `${short} ms, 15 s before the end`)
  assert.is(none, 0)
  assert.is(fake.calls[0], 'CompleteLifecycleAction CONTINUE')
})

test('a draining instance sends heartbeats to the group until its jobs are done', async () => {
  const jobs = Promise.withResolvers<void>()
  const { drain } = createParts(() => jobs.promise)
  fake.items.set(targetState, 'Terminated')
  const drained = drain({ kind: 'termination' })
  await fake.untilCalls(3)
  assert.is(fake.isCompleted(), false)
  assert.equal(new Set(fake.calls), new Set(['RecordLifecycleActionHeartbeat']))
  jobs.resolve()
  await drained
  // Heartbeats that were under way then may arrive later.
  assert.equal(
    fake.calls.filter((call) => !call.startsWith('RecordLifecycleActionHeartbeat')),
    ['CompleteLifecycleAction CONTINUE'],
  )
})

test('an instance drains although all calls of the hook fail', async () => {
  const { drain, lines } = createParts(async () => {})
  await drain({ kind: 'termination' })
  assert.equal(lines, ['heartbeat-failed', 'termination-completed-failed'])
})

test('termination notices survive invalid metadata and expired tokens, and ignore a rebalance recommendation', async () => {
  const { notices, metadata, lines } = createParts(async () => {})
  fake.items.set('events/recommendations/rebalance', '{"noticeTime":"2026-01-01T00:00:00Z"}')
  fake.items.set('spot/instance-action', 'not JSON')
  const first = notices.waitForFirst(new AbortController().signal)
  while (fake.metadataRequests.length < 12) await metadata.read('instance-id')
  fake.expireTokens()
  fake.items.delete('spot/instance-action')
  fake.items.set(targetState, 'Terminated')
  assert.equal(await first, { kind: 'termination' })
  assert.equal(lines, ['rebalance-recommended', 'notices-unread'])
  const tokens = fake.metadataRequests.filter((path) => path === 'token').length
  assert.ok(tokens >= 2 && tokens < fake.metadataRequests.length / 2, `${tokens} tokens`)
})

test('termination notices stop polling when the worker stops', async () => {
  const { notices } = createParts(async () => {})
  const stopping = new AbortController()
  const first = notices.waitForFirst(stopping.signal)
  stopping.abort()
  assert.is(await first, undefined)
})

test('instance metadata throws the status of a failed token request', async () => {
  const metadata = createInstanceMetadata({ endpoint: fake.autoScalingEndpoint })
  await metadata.read('instance-id').then(assert.unreachable, (error: Error) => {
    assert.match(error.message, 'Instance metadata returned status 400 instead of a token.')
  })
})

test('a long job protects the instance until it ends, and short jobs cause no call', async () => {
  const { clock, begin, update, lines } = createProtection()
  const isProtectedAt = async (ms: number) => {
    clock.ms = ms
    await update()
    return fake.isProtected()
  }
  const endFirst = begin()
  assert.is(await isProtectedAt(29_999), false)
  assert.is(await isProtectedAt(30_000), true)
  const endSecond = begin()
  assert.is(await isProtectedAt(61_000), true)
  endFirst()
  assert.is(await isProtectedAt(62_000), true, 'the second job is long now')
  endSecond()
  begin()
  assert.is(await isProtectedAt(63_000), false)
  // A long job that ends before the next update.
  begin()()
  assert.is(await isProtectedAt(64_000), false)
  assert.equal(fake.calls, [
    'SetInstanceProtection false',
    'SetInstanceProtection true',
    'SetInstanceProtection false',
  ])
  assert.equal(lines, ['instance-given-back', 'instance-held', 'instance-given-back'])
})

test('a worker removes the protection that a crashed process left', async () => {
  const crashed = createProtection()
  crashed.begin()
  crashed.clock.ms = 30_000
  await crashed.update()
  assert.ok(fake.isProtected())
  await createProtection().update()
  assert.is(fake.isProtected(), false)
})

test('a refused protection call is repeated, and logged as a warning once', async () => {
  const { clock, begin, update, lines } = createProtection()
  begin()
  clock.ms = 30_000
  fake.items.set(targetState, 'Pending:Wait')
  for (const refused of [update, update]) await refused()
  assert.equal(lines, ['scale-in-protection-failed'])
  fake.items.delete('instance-id')
  await update()
  assert.is(fake.calls.length, 2, 'without an instance id there is no call')
  fake.items.set('instance-id', instance)
  fake.items.set(targetState, 'InService')
  await update()
  assert.ok(fake.isProtected())
  assert.equal(lines, ['scale-in-protection-failed', 'instance-held'])
})

test('a protection call that took effect without a response is reverted', async () => {
  const { clock, begin, update } = createProtection()
  await update()
  const end = begin()
  clock.ms = 30_000
  fake.setResponses('dropped')
  await update()
  assert.ok(fake.isProtected())
  fake.setResponses('sent')
  end()
  await update()
  assert.is(fake.isProtected(), false)
})

test('protection calls run one after the other, and stop with the worker', async () => {
  let updates = 0
  const { watch } = createProtection({ longWorkMs: 1, oldestJob: { ageMs: () => ++updates % 2 } })
  const stopping = new AbortController()
  const watched = watch(stopping.signal)
  await fake.untilCalls(6)
  stopping.abort()
  await watched
  const callCount = fake.calls.length
  assert.equal(
    fake.calls,
    Array.from({ length: callCount }, (_, index) => `SetInstanceProtection ${index % 2 === 0}`),
  )
  assert.is(fake.maxConcurrentCalls(), 1)
})

test('a stopping worker aborts an active protection call without a warning', async () => {
  const { watch, lines } = createProtection({ longWorkMs: 1, oldestJob: { ageMs: () => 1 } })
  const stopping = new AbortController()
  fake.setResponses('delayed')
  const watched = watch(stopping.signal)
  await fake.untilCalls(1)
  stopping.abort()
  await watched
  assert.equal(lines, [])
})

test.run()
