import { randomUUID } from 'node:crypto'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import {
  createDeliveryLog,
  newDeliveryId,
  type StoredDelivery,
} from '@millrace/shared/webhooks/delivery-log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('log of deliveries')
const dayMs = 24 * 60 * 60_000
const webhookId = 'wh_1'
let redis: Redis

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
})
test.after(() => redis.disconnect())

function openLog() {
  const prefix = `test-${randomUUID()}`
  return { log: createDeliveryLog({ redis, prefix }), keys: () => redis.keys(`${prefix}:*`) }
}

const deliveryOf = (createdAtMs: number, fields: Partial<StoredDelivery> = {}): StoredDelivery => ({
  ...{ version: 1, id: newDeliveryId(), kind: 'event', eventId: `evt_${'0'.repeat(32)}`, attempt: 0 },
  ...{ type: 'upload.ready', uploadId: newUploadId(), state: 'pending' },
  createdAt: new Date(createdAtMs).toISOString(),
  ...fields,
})

test('the 200 newest deliveries of a webhook are kept', async () => {
  const { log } = openLog()
  const nowMs = Date.now()
  const deliveries = Array.from({ length: 202 }, (_, index) => deliveryOf(nowMs - index))
  await Promise.all(deliveries.map((delivery) => log.put(webhookId, delivery)))
  const { deliveries: listed, next } = await log.list(webhookId, { limit: 1_000 })
  assert.equal(
    listed.map(({ id }) => id),
    deliveries.slice(0, 200).map(({ id }) => id),
  )
  assert.is(next, undefined)
  for (const { id } of deliveries.slice(200)) assert.is(await log.find(webhookId, id), undefined)
})

test('a delivery is kept for seven days', async () => {
  const { log, keys } = openLog()
  const [young, old] = [deliveryOf(Date.now() - 7 * dayMs + 60_000), deliveryOf(Date.now() - 7 * dayMs - 1)]
  await log.put(webhookId, young)
  await log.put(webhookId, old)
  assert.equal(
    (await log.list(webhookId, { limit: 10 })).deliveries.map(({ id }) => id),
    [young.id],
  )
  const names = await keys()
  assert.is(names.length, 2)
  for (const name of names) {
    const leftMs = await redis.pttl(name)
    assert.ok(leftMs > 6.9 * dayMs && leftMs <= 7 * dayMs, `${leftMs} ms`)
  }
})

test('what is replaced keeps its place and is listed once', async () => {
  const { log } = openLog()
  const nowMs = Date.now()
  const [first, second] = [deliveryOf(nowMs - 2), deliveryOf(nowMs - 1)]
  await log.put(webhookId, first)
  await log.put(webhookId, second)
  await log.put(webhookId, { ...first, state: 'delivered', attempt: 1 })
  const { deliveries } = await log.list(webhookId, { limit: 10 })
  assert.equal(
    deliveries.map(({ id, state, attempt }) => [id, state, attempt]),
    [
      [second.id, 'pending', 0],
      [first.id, 'delivered', 1],
    ],
  )
})

test.run()
