import { randomUUID } from 'node:crypto'
import { createHeartbeatSchedule } from '@millrace/shared/fleet/heartbeat-schedule.ts'
import {
  createHeartbeats,
  fleetKey,
  type Heartbeat,
  type Heartbeats,
  heartbeatMs,
  heartbeatTtlMs,
} from '@millrace/shared/fleet/heartbeats.ts'
import { createRecentActivity } from '@millrace/shared/fleet/recent-activity.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { withManualIntervals } from '../../support/manual-intervals.ts'
import { suite } from '../../support/suite.ts'

const test = suite('heartbeats')
const hourMs = 60 * 60 * 1000
let redis: Redis
let prefix: string

test.before(() => {
  redis = new Redis(process.env['REDIS_URL'] ?? '')
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after.each(async () => {
  const names = ['processes', 'stopped', 'heartbeat:worker-1', 'heartbeat:worker-2']
  await redis.del(names.map((name) => fleetKey(prefix, name)))
})
test.after(() => redis.disconnect())

const heartbeat: Heartbeat = {
  id: 'worker-1',
  tier: 'worker',
  state: 'serving',
  since: '2026-11-25T12:00:00.000Z',
  version: '0',
  cpuPercent: 0,
  rssBytes: 1,
  slots: 2,
  busy: 0,
  perSecond: 0,
  latency: [],
}

/** Whether a time to live in ms was just set to this. */
const isFresh = (pttl: number, ttlMs: number) => pttl > ttlMs * 0.6 && pttl <= ttlMs

/** A schedule whose heartbeats are kept in a list. */
function openSchedule(publish: (sent: Heartbeat) => Promise<void>) {
  const sent: Heartbeat[] = []
  const removed: string[][] = []
  const warnings: unknown[] = []
  const heartbeats: Heartbeats = {
    ...createHeartbeats({ redis, prefix }),
    async publish(one) {
      sent.push(one)
      await publish(one)
    },
    async remove(...one) {
      removed.push(one)
    },
  }
  const schedule = createHeartbeatSchedule({
    heartbeats,
    id: 'worker-1',
    tier: 'worker',
    version: '1',
    slots: 3,
    activity: createRecentActivity(),
    log: { warn: (fields: object) => warnings.push('event' in fields && fields.event) },
  })
  return { schedule, sent, removed, warnings }
}

test('a heartbeat comes each second and outlives four that are missed; its index outlives an hour', async () => {
  assert.equal([heartbeatMs, heartbeatTtlMs], [1_000, 5_000])
  const heartbeats = createHeartbeats({ redis, prefix })
  await heartbeats.publish(heartbeat)
  assert.ok(isFresh(await redis.pttl(fleetKey(prefix, 'heartbeat:worker-1')), 5_000))
  assert.ok(isFresh(await redis.pttl(fleetKey(prefix, 'processes')), hourMs))
  await heartbeats.remove('worker-1', heartbeat.since)
  assert.ok(isFresh(await redis.pttl(fleetKey(prefix, 'stopped')), hourMs))
})

test('a process whose heartbeat expired leaves the list and its index; one that stopped is told apart from its successor', async () => {
  const heartbeats = createHeartbeats({ redis, prefix })
  await heartbeats.publish({ ...heartbeat, id: 'worker-2' })
  await heartbeats.publish(heartbeat)
  assert.equal(
    (await heartbeats.list()).map(({ id }) => id),
    ['worker-1', 'worker-2'],
  )
  await redis.del(fleetKey(prefix, 'heartbeat:worker-2'))
  assert.equal(await heartbeats.list(), [heartbeat])
  assert.equal(await redis.smembers(fleetKey(prefix, 'processes')), ['worker-1'])
  assert.is(await heartbeats.hasStopped(heartbeat), false)

  await heartbeats.remove('worker-1', heartbeat.since)
  assert.equal(await heartbeats.list(), [])
  assert.is(await heartbeats.hasStopped(heartbeat), true)
  // It started again under its name, and crashed.
  assert.is(await heartbeats.hasStopped({ id: 'worker-1', since: '2026-11-25T12:00:01.000Z' }), false)
  await heartbeats.forgetStopped(['worker-1'])
  assert.is(await heartbeats.hasStopped(heartbeat), false)
})

test('a process that drains says so at once, and nothing after it stopped', async () => {
  const intervals = withManualIntervals()
  try {
    const { schedule, sent, removed } = openSchedule(async () => undefined)
    await schedule.drain()
    await schedule.stop()
    assert.equal([sent, removed], [[], []], 'one that never started says nothing')

    const other = openSchedule(async () => undefined)
    other.schedule.start()
    const [timer] = intervals.started
    assert.ok(timer)
    assert.is(timer.everyMs, 1_000)
    await other.schedule.drain()
    assert.equal(
      other.sent.map(({ state, slots, tier }) => [state, slots, tier]),
      [
        ['serving', 3, 'worker'],
        ['draining', 3, 'worker'],
      ],
    )
    await timer.run()
    assert.is(other.sent.at(-1)?.state, 'draining')
    await other.schedule.stop()
    assert.is(timer.isCleared, true)
    assert.equal(other.removed, [['worker-1', other.sent[0]?.since]])
  } finally {
    intervals.restore()
  }
})

test('an outage of Redis is logged once until heartbeats succeed again, and slow heartbeats are skipped', async () => {
  const intervals = withManualIntervals()
  try {
    let fails = true
    const { schedule, sent, warnings } = openSchedule(async () => {
      if (fails) throw new Error('Redis does not respond.')
    })
    schedule.start()
    const [timer] = intervals.started
    for (let beat = 0; beat < 3; beat++) await timer?.run()
    assert.equal(warnings, ['heartbeat-failed'])
    fails = false
    await timer?.run()
    fails = true
    await timer?.run()
    assert.equal(warnings, ['heartbeat-failed', 'heartbeat-failed'])
    fails = false
    await schedule.stop()

    const released = Promise.withResolvers<void>()
    const slow = openSchedule(() => released.promise)
    slow.schedule.start()
    for (let beat = 0; beat < 3; beat++) void intervals.started.at(-1)?.run()
    assert.is(slow.sent.length, 1)
    released.resolve()
    await slow.schedule.stop()
    assert.ok(sent.every(({ since }) => since === sent[0]?.since))
  } finally {
    intervals.restore()
  }
})

test('the CPU of a heartbeat is that since the heartbeat before, in percent of a core', async () => {
  const intervals = withManualIntervals()
  const { cpuUsage } = process
  const { now } = performance
  let cpuMs = 0
  let nowMs = 0
  process.cpuUsage = (before) => {
    const user = cpuMs * 1_000
    return before ? { user: user - before.user, system: 0 } : { user, system: 0 }
  }
  performance.now = () => nowMs
  try {
    const { schedule, sent } = openSchedule(async () => undefined)
    const later = (ms: number, usedMs: number) => {
      nowMs += ms
      cpuMs += usedMs
    }
    later(1_000, 250)
    schedule.start()
    const [timer] = intervals.started
    await timer?.run()
    later(2_000, 1_000)
    await timer?.run()
    later(1_000, 0)
    await timer?.run()
    assert.equal(
      sent.map(({ cpuPercent }) => cpuPercent),
      [25, 50, 0],
    )
    await schedule.stop()
  } finally {
    process.cpuUsage = cpuUsage
    performance.now = now
    intervals.restore()
  }
})

test.run()
