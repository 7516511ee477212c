import { randomUUID } from 'node:crypto'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import {
  createWebhookSlots,
  type SlotLimits,
  usualSlotLimits,
} from '@millrace/worker/webhooks/webhook-slots.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('webhook slots')
let redis: Redis

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
})
test.after(() => redis.disconnect())

function open(limits: Partial<SlotLimits> = {}) {
  const prefix = `test-${randomUUID()}`
  const slots = createWebhookSlots({ redis, prefix, limits: { ...usualSlotLimits, ...limits } })
  let holders = 0
  const take = (id = 'wh', ignoresBreaker = false) =>
    slots.take(id, `holder ${holders++}`, { ignoresBreaker })
  /** Has a first request of a webhook end, so that it is no longer new. */
  const introduce = (id = 'wh') => slots.succeeded(id, 'first', 100)
  return { ...slots, take, introduce, prefix }
}

const isTaken = (slot: object) => 'meanMs' in slot

test('a webhook has its own slots, and those of another are free', async () => {
  const { take, release, succeeded, introduce } = open({ slots: 2 })
  assert.equal((await Promise.all([take('new'), take('new')])).map(isTaken), [true, false], 'one at first')
  await introduce()
  assert.equal((await Promise.all([take(), take(), take()])).map(isTaken), [true, true, false])
  assert.ok(isTaken(await take('other')))
  await release('wh', 'holder 2')
  assert.ok(isTaken(await take()))
  await succeeded('wh', 'holder 3', 10)
  assert.ok(isTaken(await take()))
  assert.not.ok(isTaken(await take()))
})

test('the slots of a worker that died become free', async () => {
  const { take } = open({ slots: 1, slotLifeMs: 1 })
  assert.ok(isTaken(await take()))
  while (!isTaken(await take()));
})

test('waiting deliveries get turns one after the other, as long as requests take', async () => {
  const { take, succeeded } = open({ slots: 1 })
  await take()
  await succeeded('wh', 'holder 0', 4_000)
  const slot = await take()
  assert.equal(slot, { meanMs: 4_000 })
  const waits = []
  for (let i = 0; i < 3; i++) {
    const waiting = await take()
    waits.push('waitMs' in waiting ? Math.round(waiting.waitMs / 4_000) : 0)
  }
  assert.equal(waits, [1, 2, 3])
  for (let i = 0; i < 100; i++) await take()
  const last = await take()
  const { longestWaitMs } = usualSlotLimits
  assert.ok('waitMs' in last && last.waitMs <= longestWaitMs && last.waitMs > longestWaitMs - 1_000)
})

test('after failures in a row a webhook is tried singly, with growing pauses, until it responds', async () => {
  const { take, failed, succeeded, introduce, prefix } = open({ slots: 4, failuresToOpen: 3 })
  await introduce()
  const health = `${prefix}:webhook:wh:health`
  const pauseOver = () => redis.hset(health, 'until', 0)
  const remaining = async () => Number(await redis.hget(health, 'until')) - Date.now()
  for (let i = 0; i < 2; i++) {
    await take()
    await failed('wh', `holder ${i}`, { ms: 5 })
  }
  assert.ok(isTaken(await take()))
  assert.ok(isTaken(await take()), 'still closed')
  assert.is(await failed('wh', 'holder 2', { ms: 5 }), 3)
  const firstPause = await remaining()
  assert.ok(firstPause > 9_000 && firstPause <= 10_000)
  assert.is(await failed('wh', 'holder 3', { ms: 5 }), 3, 'it was under way when the breaker opened')
  assert.not.ok(isTaken(await take()))
  assert.ok(isTaken(await take('wh', true)), 'what a person asks for is sent')
  await pauseOver()
  assert.not.ok(isTaken(await take()), 'one request at a time')
  await failed('wh', 'holder 5', { ms: 5 })
  const secondPause = await remaining()
  assert.ok(secondPause > 19_000 && secondPause <= 20_000)
  await pauseOver()
  const probe = await take()
  assert.ok(isTaken(probe))
  assert.not.ok(isTaken(await take()))
  await succeeded('wh', 'holder 7', 5)
  assert.equal((await Promise.all([take(), take(), take(), take(), take()])).map(isTaken), [
    ...[true, true, true, true],
    false,
  ])
})

test('a webhook that asks for a pause gets it', async () => {
  const { take, failed } = open()
  await take()
  await failed('wh', 'holder 0', { ms: 5, pauseMs: 60_000 })
  const waiting = await take()
  assert.ok('waitMs' in waiting && waiting.waitMs > 59_000 && waiting.waitMs <= 60_200)
})

test.run()
