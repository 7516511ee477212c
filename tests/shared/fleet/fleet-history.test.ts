import { randomUUID } from 'node:crypto'
import { createFinishedUploads } from '@millrace/shared/fleet/finished-uploads.ts'
import { createFleetHistory, type FleetPoint } from '@millrace/shared/fleet/fleet-history.ts'
import { createHeartbeats, type Heartbeat } from '@millrace/shared/fleet/heartbeats.ts'
import { createHistoryRecorder } from '@millrace/shared/fleet/history-recorder.ts'
import { createInstanceEvents } from '@millrace/shared/fleet/instance-events.ts'
import { bucketOf } from '@millrace/shared/fleet/latency-histogram.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('fleet history')
const periodMs = 10_000
/** The end of a period. */
const start = Date.UTC(2026, 10, 25, 12)
let redis: Redis
let prefix: string
let now: number

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
  now = start
})
test.after.each(async () => {
  const names = ['history', 'known', 'instance-events', 'finished-uploads', 'stopped', 'processes']
  await redis.del(names.map((name) => `${prefix}:{fleet}:${name}`))
})
test.after(() => redis.disconnect())

const iso = (ms: number) => new Date(ms).toISOString()
const history = () => createFleetHistory({ redis, prefix, now: () => now })

function heartbeatOf(id: string, changes: Partial<Heartbeat> = {}): Heartbeat {
  return {
    id,
    tier: id.startsWith('api') ? 'api' : 'worker',
    state: 'serving',
    since: iso(start - 5_000),
    version: '0',
    cpuPercent: 50,
    rssBytes: 1,
    slots: 2,
    busy: 1,
    perSecond: 2,
    errorsPerMinute: 3,
    latency: [],
    ...changes,
  }
}

const idleQueue = {
  at: iso(start),
  load: 0.5,
  waiting: 1,
  prioritized: 2,
  active: 2,
  delayed: 4,
  failed: 5,
  notRelayed: 3,
  slots: 4,
  oldestJobAgeMs: 9,
}

function recorderOf(heartbeats = createHeartbeats({ redis, prefix })) {
  const deps = { redis, prefix }
  const recorder = createHistoryRecorder({
    history: history(),
    finishedUploads: createFinishedUploads(deps),
    instanceEvents: createInstanceEvents({ ...deps, heartbeats }),
    periodMs,
    now: () => now,
  })
  return {
    ...recorder,
    observe: (processes: Heartbeat[], queue = idleQueue, demand: number | undefined = undefined) =>
      recorder.observe({ processes, queue, demand }),
  }
}

/** Returns the point of a period that ends at this time. */
async function pointAt(atMs: number): Promise<FleetPoint> {
  const recorder = recorderOf()
  now = atMs - 1
  await recorder.observe([])
  now = atMs
  await recorder.observe([])
  const point = (await history().points()).at(-1)
  assert.is(point?.at, iso(atMs))
  assert.ok(point)
  return point
}

test('a point combines the samples of its period', async () => {
  const finishedUploads = createFinishedUploads({ redis, prefix })
  await finishedUploads.add({ outcome: 'ready', bytes: 100 })
  await finishedUploads.add({ outcome: 'ready', bytes: 50 })
  await finishedUploads.add({ outcome: 'failed', bytes: 1 })
  const recorder = recorderOf()
  await recorder.observe(
    [heartbeatOf('api-1', { cpuPercent: 10 }), heartbeatOf('worker-1')],
    { ...idleQueue, load: 1.5, oldestJobAgeMs: 70 },
    0.4,
  )
  now += 1_000
  const latency: Heartbeat['latency'] = [
    [bucketOf(10), 99],
    [bucketOf(1_000), 1],
  ]
  await recorder.observe(
    [
      heartbeatOf('api-1', { cpuPercent: 30, latency }),
      heartbeatOf('api-2', { cpuPercent: 80, latency }),
      heartbeatOf('worker-1', { state: 'draining', cpuPercent: 100 }),
    ],
    idleQueue,
    0.6,
  )
  assert.equal(await history().points(), [], 'the period has not ended')
  now = start + periodMs
  await recorder.observe([])

  const [point, ...others] = await history().points()
  assert.equal(others, [])
  assert.ok(point)
  const { api, worker, queue, uploads, at } = point
  assert.is(at, iso(start + periodMs))
  assert.equal(uploads, { ready: 2, rejected: 0, failed: 1, bytes: 151 })
  assert.is(api.serving, 2)
  assert.is(api.total, 2)
  assert.is(api.cpuPercent, 40)
  assert.is(api.perMinute, 240)
  assert.is(api.errorsPerMinute, 6)
  assert.is(api.busy, 1.5)
  const { p50 = 0, p99 = 0 } = api.latencyMs ?? {}
  assert.ok(p50 > 9.5 && p99 > 9.5 && p50 < 10.5 && p99 < 10.5, 'of all requests')
  assert.is(worker.serving, 0)
  assert.is(worker.total, 1)
  assert.is(worker.cpuPercent, 50, 'of instances that take work')
  assert.is(worker.latencyMs, null)
  assert.equal(queue, {
    load: 1,
    demand: 0.5,
    waiting: 3,
    active: 2,
    delayed: 4,
    notRelayed: 3,
    failed: 5,
    slots: 4,
    oldestJobAgeMs: 70,
  })
  assert.equal(await finishedUploads.take(), { ready: 0, rejected: 0, failed: 0, bytes: 0 })
})

test('the history keeps the points of one hour, oldest first, and returns those after a point', async () => {
  const first = await pointAt(start)
  const key = `${prefix}:{fleet}:history`
  for (let number = 1; number <= 365; number++) {
    assert.ok(await history().add({ ...first, at: iso(start + number * periodMs) }))
  }
  assert.is(await redis.xlen(key), 360)
  assert.ok(((await redis.memory('USAGE', key, 'SAMPLES', 0)) ?? 0) < 400_000)
  const ttlMs = await redis.pttl(key)
  assert.ok(ttlMs > 59 * 60_000 && ttlMs <= 60 * 60_000)
  now = start + 365 * periodMs
  const points = await history().points()
  assert.is(points.length, 360)
  assert.is(points[0]?.at, iso(start + 6 * periodMs))
  assert.is(points.at(-1)?.at, iso(now))
  assert.equal(
    (await history().points(points.at(-3))).map(({ at }) => at),
    [iso(now - periodMs), iso(now)],
  )
  now += 30 * 60_000
  assert.is((await history().points()).length, 181, 'no longer those of more than an hour ago')
  assert.equal(await history().points(points.at(-1)), [])
})

test('a period has one point, although two processes publish, and periods stay in order', async () => {
  const first = await pointAt(start)
  const later = { ...first, at: iso(start + periodMs) }
  const added = await Promise.all([history().add(later), history().add(later)])
  assert.equal(added.toSorted(), [false, true])
  assert.not(await history().add(first))
  assert.is((await history().points()).length, 2)
})

test('a point of a process whose clock was far ahead does not end the history', async () => {
  const first = await pointAt(start)
  assert.ok(await history().add({ ...first, at: iso(start + 24 * 60 * 60_000) }))
  assert.ok(await history().add({ ...first, at: iso(start + periodMs) }))
  assert.equal(
    (await history().points()).map(({ at }) => at),
    [iso(start + periodMs)],
  )
})

test('the history goes on after Redis was flushed, and skips points of another version', async () => {
  const first = await pointAt(start)
  await redis.del(`${prefix}:{fleet}:history`, `${prefix}:{fleet}:known`)
  assert.equal(await history().points(), [])
  await redis.xadd(`${prefix}:{fleet}:history`, `${start}-0`, 'point', '{"at":"later"}')
  await redis.xadd(`${prefix}:{fleet}:history`, `${start + 1}-0`, 'picture', '\u0001')
  now = start + periodMs
  await history().add({ ...first, at: iso(now) })
  assert.is((await history().points()).length, 1)
})

test('a publisher that lost its lease does not write the point of an unfinished period', async () => {
  const recorder = recorderOf()
  await recorder.observe([])
  recorder.reset()
  now += periodMs
  await recorder.observe([])
  assert.equal(await history().points(), [])
})

test('instances that start, drain, stop, get lost and return are told once, and lost ones count as unhealthy', async () => {
  const heartbeats = createHeartbeats({ redis, prefix })
  const events = () => createInstanceEvents({ redis, prefix, heartbeats })
  const told = async () => (await events().events()).map(({ id, kind }) => `${id} ${kind}`).toSorted()
  const old = heartbeatOf('api-1', { since: iso(start - 86_400_000) })
  const one = heartbeatOf('worker-1')
  const two = heartbeatOf('worker-2')

  assert.equal(await events().update([old, one, two], now), [])
  assert.equal(await told(), ['worker-1 started', 'worker-2 started'], 'one that runs for a day is not new')
  // Another process publishes for a moment.
  await Promise.all([
    events().update([old, one, { ...two, state: 'draining' }], ++now),
    events().update([old, one, { ...two, state: 'draining' }], ++now),
  ])
  await heartbeats.remove('worker-2', two.since)
  const [lost] = await events().update([old], ++now)
  assert.is(lost?.id, 'worker-1')
  assert.is(lost?.tier, 'worker')
  assert.is(lost?.lostAt, iso(now))
  assert.equal(await events().lost(), [lost])
  assert.equal(await told(), [
    'worker-1 lost',
    'worker-1 started',
    'worker-2 draining',
    'worker-2 started',
    'worker-2 stopped',
  ])

  await events().update([old, one], ++now)
  assert.equal(await events().lost(), [])
  await events().update([old, heartbeatOf('worker-1', { since: iso(now) })], ++now)
  const latest = (await events().events()).slice(0, 2)
  assert.equal(
    latest.map(({ id, kind, at }) => `${id} ${kind} ${at}`),
    [`worker-1 restarted ${iso(now)}`, `worker-1 returned ${iso(now - 1)}`],
  )

  await events().update([old], ++now)
  assert.is((await events().update([old], now + 60_000)).length, 1)
  assert.equal(await events().update([old], now + 121_000), [], 'its group has replaced it')
  // An event that happens again moves: started, lost, returned and restarted of one, started, draining, stopped of the other.
  assert.is(await redis.zcard(`${prefix}:{fleet}:instance-events`), 8)
})

test('the lost instances of a tier are in its total', async () => {
  const recorder = recorderOf()
  await recorder.observe([heartbeatOf('worker-1'), heartbeatOf('worker-2')])
  now += 1_000
  await recorder.observe([heartbeatOf('worker-1')])
  now = start + periodMs
  await recorder.observe([])
  const [point] = await history().points()
  assert.is(point?.worker.serving, 1)
  assert.is(point?.worker.total, 2)
})

test('the latest 100 events of instances are kept', async () => {
  const heartbeats = createHeartbeats({ redis, prefix })
  const events = createInstanceEvents({ redis, prefix, heartbeats })
  const many = Array.from({ length: 150 }, (_, number) => heartbeatOf(`worker-${number}`))
  await events.update(many.slice(0, 100), now)
  await events.update(many, now + 1)
  const kept = await events.events()
  assert.is(kept.length, 100)
  assert.is(kept.filter(({ at }) => at === iso(now + 1)).length, 50)
  const ttlMs = await redis.pttl(`${prefix}:{fleet}:instance-events`)
  assert.ok(ttlMs > 23 * 60 * 60_000 && ttlMs <= 24 * 60 * 60_000)
  const knownTtlMs = await redis.pttl(`${prefix}:{fleet}:known`)
  assert.ok(knownTtlMs > 59 * 60_000 && knownTtlMs <= 60 * 60_000)
})

test.run()
