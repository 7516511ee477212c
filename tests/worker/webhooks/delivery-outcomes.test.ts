import { randomUUID } from 'node:crypto'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import {
  createDeliveryLog,
  newDeliveryId,
  type StoredDelivery,
  type WebhookContent,
} from '@millrace/shared/webhooks/delivery-log.ts'
import type { DeliverEventJob } from '@millrace/shared/webhooks/delivery-queue.ts'
import { createDeliverEvent } from '@millrace/worker/webhooks/deliver-event.ts'
import { createEventEnds } from '@millrace/worker/webhooks/event-ends.ts'
import { usualRetryTimes } from '@millrace/worker/webhooks/retry-delay.ts'
import type { SendResult } from '@millrace/worker/webhooks/send-webhook.ts'
import { createUploadTurns, usualTurnTimes } from '@millrace/worker/webhooks/upload-turns.ts'
import { createWebhookSlots, usualSlotLimits } from '@millrace/worker/webhooks/webhook-slots.ts'
import { createWorkerShares } from '@millrace/worker/webhooks/worker-shares.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { openContractTarget } from '../../local-s3/support/contract-target.ts'
import { suite } from '../../support/suite.ts'
import { openOutbox, webhookOf } from '../support/webhooks.ts'

const test = suite('outcomes of deliveries')
const log = createLog({ level: 'silent', instance: 'test' })
const target = await openContractTarget()
const { outbox, webhooks } = openOutbox({ s3: target.client, bucket: target.bucket })
const hourMs = 60 * 60_000
let redis: Redis

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', log)
})
test.after(async () => {
  redis.disconnect()
  await target.close()
})

const response = (status: number): SendResult => ({ ms: 5, status, excerpt: 'x', retryAfterMs: undefined })

/** Makes one attempt to deliver an event that a person asked for, or one from the outbox. An Error is thrown while it is sent. */
async function attempt(options: {
  result: SendResult | Error
  kind?: DeliverEventJob['kind']
  attempts?: number
  endsInMs?: number
}) {
  const { result, kind = 'replay', attempts = 0, endsInMs = 24 * hourMs } = options
  const prefix = `test-${randomUUID()}`
  const tenant = `acme-${randomUUID().slice(0, 8)}`
  const webhook = webhookOf(tenant, '1')
  await webhooks.create(webhook)
  const content: WebhookContent = {
    ...{ id: `evt_${'0'.repeat(32)}`, type: 'upload.deleted', timestamp: new Date().toISOString() },
    data: { id: newUploadId(), state: 'deleted' },
  }
  const delivery: StoredDelivery = {
    ...{ version: 1, id: newDeliveryId(), kind, eventId: content.id, type: content.type, content },
    ...{ uploadId: content.data.id, state: 'pending', createdAt: content.timestamp, attempt: attempts },
  }
  const deliveryLog = createDeliveryLog({ redis, prefix })
  await deliveryLog.put(webhook.id, delivery)
  const ends = createEventEnds({ redis, prefix })
  const seen: WebhookContent[] = []
  const outcomes: string[] = []
  const slots = createWebhookSlots({ redis, prefix, limits: usualSlotLimits })
  const deliverEvent = createDeliverEvent({
    ...{ outbox, webhooks, ends, deliveryLog, slots, retryTimes: usualRetryTimes },
    shares: createWorkerShares(8),
    turns: createUploadTurns({
      ...{ redis, prefix, outbox, ends, times: usualTurnTimes },
      queue: { startNow: async () => undefined },
    }),
    sendWebhook: async (_webhook, sent) => {
      seen.push(sent)
      if (result instanceof Error) throw result
      return result
    },
    record: {
      countDelivery: (outcome) => outcomes.push(outcome),
      observeWebhookRequest: () => undefined,
    },
  })
  const attempted = deliverEvent(
    {
      ...{ version: 1, tenantKey: tenantKey(tenant), uploadId: content.data.id, eventId: content.id },
      ...{ webhookId: webhook.id, deliveryId: delivery.id, kind, after: [], attempts },
    },
    { endsAtMs: Date.now() + endsInMs, starts: 0, log, signal: new AbortController().signal },
  )
  const step = await attempted.catch((error: unknown) => {
    if (error !== result) throw error
    return 'thrown' as const
  })
  const next = await slots.take(webhook.id, 'next', { ignoresBreaker: false })
  const logged = await deliveryLog.find(webhook.id, delivery.id)
  const stored = await webhooks.read(tenantKey(tenant), webhook.id)
  assert.equal(seen, [content])
  return { step, logged, outcomes, webhook: stored, hasFreeSlot: !('waitMs' in next) }
}

test('only a status of 200 to 299 counts as delivered', async () => {
  for (const [status, isDelivered] of [
    [199, false],
    [200, true],
    [204, true],
    [299, true],
    [300, false],
    [302, false],
    [400, false],
    [404, false],
    [429, false],
    [500, false],
  ] as const) {
    const { step, logged, outcomes, webhook } = await attempt({ result: response(status) })
    assert.is(step === 'done', isDelivered, String(status))
    assert.equal(
      [logged?.state, logged?.attempt, logged?.status, outcomes],
      [isDelivered ? 'delivered' : 'pending', 1, status, [isDelivered ? 'delivered' : 'retried']],
      String(status),
    )
    assert.is(webhook?.enabled, true)
  }
})

test('a failed attempt is tried again after the delay of its number, and no response counts as one', async () => {
  const failed: SendResult = { ms: 5, error: 'timeout', cause: new Error('late') }
  for (const [attempts, longestMs] of [
    [0, 5_000],
    [1, 15_000],
    [4, 405_000],
  ] as const) {
    const { step, logged } = await attempt({ result: failed, attempts })
    assert.ok(typeof step === 'object' && step.hasFailed)
    assert.ok(step.delayMs >= 0.75 * longestMs && step.delayMs <= longestMs, `${step.delayMs} ms`)
    assert.equal([logged?.error, logged?.attempt, logged?.status], ['timeout', attempts + 1, undefined])
    assert.ok(logged?.nextAttemptAt)
  }
})

// Of a webhook that nothing is known of, one request at a time is made.
test('an attempt that is interrupted gives its slot back, and leaves the delivery as it was', async () => {
  const { step, logged, outcomes, hasFreeSlot } = await attempt({ result: new Error('The worker drains.') })
  assert.equal([step, logged?.state, logged?.attempt, outcomes], ['thrown', 'pending', 0, []])
  assert.is(hasFreeSlot, true)
})

test('a delivery is given up when its next attempt would be after its end', async () => {
  const { step, logged, outcomes } = await attempt({ result: response(500), attempts: 4, endsInMs: 60_000 })
  assert.equal([step, logged?.state, logged?.attempt], ['done', 'failed', 5])
  assert.equal([logged?.nextAttemptAt, outcomes], [undefined, ['gave-up']])
})

test('a test event that fails is not tried again', async () => {
  const { step, logged, outcomes } = await attempt({ result: response(500), kind: 'test' })
  assert.equal([step, logged?.state, outcomes], ['done', 'failed', ['gave-up']])
})

test('a receiver that answers 410 is disabled at once, and gets nothing again', async () => {
  const { step, logged, outcomes, webhook } = await attempt({ result: response(410) })
  assert.equal([step, logged?.state, outcomes], ['done', 'failed', ['dropped']])
  assert.is(webhook?.enabled, false)
  assert.is(webhook?.disabledReason, 'The receiver answered with status 410 (Gone).')
})

test.run()
