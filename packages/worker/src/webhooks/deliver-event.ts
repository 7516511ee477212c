import { randomUUID } from 'node:crypto'
import { outboxKey } from '@millrace/shared/ledger/object-keys.ts'
import type { DeliveryLog, StoredDelivery, WebhookContent } from '@millrace/shared/webhooks/delivery-log.ts'
import type { DeliverEventJob } from '@millrace/shared/webhooks/delivery-queue.ts'
import type { Outbox } from '@millrace/shared/webhooks/outbox.ts'
import type { Webhook } from '@millrace/shared/webhooks/webhook.ts'
import type { WebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import type { Logger } from 'pino'
import type { RecordWebhooks } from '../metrics/metrics.ts'
import type { DeliveryEnd, EventEnds } from './event-ends.ts'
import { type RetryTimes, retryDelay } from './retry-delay.ts'
import type { SendResult, SendWebhook } from './send-webhook.ts'
import type { UploadTurns } from './upload-turns.ts'
import type { WebhookSlots } from './webhook-slots.ts'
import type { WorkerShares } from './worker-shares.ts'

/** The response of a receiver that wants no more events (Standard Webhooks, "Deliverability and reliability"). */
const goneStatus = 410

/** How long a delivery to a new webhook waits for a slot of its worker, in ms. */
const shareDelayMs = 1_000

/** What a delivery does next. A failed attempt counts. */
export type DeliveryStep = 'done' | { delayMs: number; hasFailed: boolean }

/** One run of a delivery's job. */
export type DeliveryRun = {
  /** When the delivery is given up, in ms since 1970. */
  endsAtMs: number
  /** How often the job was started before. */
  starts: number
  log: Logger
  signal: AbortSignal
}

/**
 * Creates the function that makes one attempt to deliver an event to one webhook, if it may be made now.
 *
 * turn of the upload → slot of the webhook → read webhook and event → send → log, end or next attempt
 */
export function createDeliverEvent(deps: {
  outbox: Outbox
  webhooks: WebhookStore
  ends: EventEnds
  deliveryLog: DeliveryLog
  slots: WebhookSlots
  shares: WorkerShares
  turns: UploadTurns
  sendWebhook: SendWebhook
  retryTimes: RetryTimes
  record: RecordWebhooks
}) {
  const { outbox, webhooks, ends, deliveryLog, slots, shares, turns, sendWebhook, retryTimes } = deps

  return async function deliverEvent(job: DeliverEventJob, run: DeliveryRun): Promise<DeliveryStep> {
    const { webhookId } = job
    const isOverdue = Date.now() >= run.endsAtMs
    const turnDelayMs = await turns.delayOf(job, run.starts)
    if (turnDelayMs !== undefined) {
      return isOverdue ? await giveUp(job, run, undefined) : { delayMs: turnDelayMs, hasFailed: false }
    }
    const holder = randomUUID()
    const slot = await slots.take(webhookId, holder, { ignoresBreaker: job.kind !== 'event' })
    if ('waitMs' in slot) {
      return isOverdue ? await giveUp(job, run, undefined) : { delayMs: slot.waitMs, hasFailed: false }
    }
    const freeShare = shares.take(job.tenantKey, slot.meanMs)
    let isGivenBack = false
    try {
      if (!freeShare) return { delayMs: slot.meanMs ?? shareDelayMs, hasFailed: false }
      const webhook = await webhooks.read(job.tenantKey, webhookId)
      if (!webhook || (!webhook.enabled && job.kind === 'event')) return await end(job, 'dropped')
      const delivery = await openDelivery(job)
      if (!delivery) return await end(job, 'dropped')
      const at = new Date().toISOString()
      const result = await sendWebhook(webhook, delivery.content, run.signal)
      isGivenBack = true
      deps.record.observeWebhookRequest(result)
      return await record(job, run, { webhook, delivery, result, at, holder })
    } finally {
      freeShare?.()
      if (!isGivenBack) await slots.release(webhookId, holder)
    }
  }

  async function record(
    job: DeliverEventJob,
    run: DeliveryRun,
    sent: {
      webhook: Webhook
      delivery: StoredDelivery & { content: WebhookContent }
      result: SendResult
      at: string
      holder: string
    },
  ): Promise<DeliveryStep> {
    const { webhookId, kind } = job
    const { delivery, result, at, holder } = sent
    const { ms } = result
    const status = 'status' in result ? result.status : undefined
    const isDelivered = status !== undefined && status >= 200 && status < 300
    const attempt = job.attempts + 1
    const entry: StoredDelivery = {
      ...withoutAttempt(delivery),
      attempt,
      at,
      ms,
      ...('status' in result ? { status: result.status, excerpt: result.excerpt } : { error: result.error }),
    }
    const log = run.log.child({ attempt, ms, ...('status' in result ? { status } : { error: result.error }) })
    if (isDelivered) {
      await slots.succeeded(webhookId, holder, ms)
      await deliveryLog.put(webhookId, { ...entry, state: 'delivered' })
      log.info({ event: 'webhook-delivered' }, 'webhook delivered')
      return await end(job, 'delivered')
    }
    const pauseMs = 'status' in result ? result.retryAfterMs : undefined
    // What a person asked for can close the breaker, but it is no further sign that the receiver fails.
    if (kind === 'event') await slots.failed(webhookId, holder, { ms, pauseMs })
    else await slots.release(webhookId, holder)
    if (status === goneStatus) {
      await deliveryLog.put(webhookId, { ...entry, state: 'failed' })
      await disable(job, log)
      return await end(job, 'dropped')
    }
    const delayMs = retryDelay(retryTimes, attempt, pauseMs)
    if (kind === 'test' || Date.now() + delayMs >= run.endsAtMs) {
      return await giveUp(job, { ...run, log }, entry)
    }
    const nextAttemptAt = new Date(Date.now() + delayMs).toISOString()
    await deliveryLog.put(webhookId, { ...entry, nextAttemptAt })
    log.warn(
      { event: 'webhook-attempt-failed', delayMs, ...('cause' in result && { err: result.cause }) },
      'webhook not delivered, it is tried again',
    )
    deps.record.countDelivery('retried')
    return { delayMs, hasFailed: true }
  }

  /** Ends a delivery without success. @param entry of its last attempt, if this run made one */
  async function giveUp(
    job: DeliverEventJob,
    { log }: DeliveryRun,
    entry: StoredDelivery | undefined,
  ): Promise<DeliveryStep> {
    const logged = entry ?? (await deliveryLog.find(job.webhookId, job.deliveryId))
    const last = logged ?? (await openDelivery(job))
    if (last) {
      const { nextAttemptAt: _, ...rest } = last
      await deliveryLog.put(job.webhookId, { ...rest, state: 'failed' })
    }
    if (job.kind === 'test')
      log.info({ event: 'webhook-test-failed' }, 'webhook not delivered, it was a test')
    else log.error({ event: 'webhook-given-up' }, 'webhook not delivered, it is given up')
    return await end(job, 'gave-up')
  }

  async function end(job: DeliverEventJob, how: DeliveryEnd): Promise<'done'> {
    deps.record.countDelivery(how)
    if (job.kind === 'event') {
      await ends.record(job.eventId, job.webhookId, how)
      await turns.pass(job)
    }
    return 'done'
  }

  async function disable({ tenantKey, webhookId }: DeliverEventJob, log: Logger): Promise<void> {
    await webhooks.update(tenantKey, webhookId, (current) =>
      current.enabled
        ? {
            ...current,
            enabled: false,
            disabledReason: `The receiver answered with status ${goneStatus} (Gone).`,
            updatedAt: new Date().toISOString(),
          }
        : undefined,
    )
    log.warn({ event: 'webhook-disabled' }, 'webhook disabled: its receiver is gone')
  }

  /** Returns the entry of the log with the content. That of an event is made if it is the first attempt. */
  async function openDelivery(
    job: DeliverEventJob,
  ): Promise<(StoredDelivery & { content: WebhookContent }) | undefined> {
    const { deliveryId, webhookId, tenantKey, uploadId, eventId } = job
    if (job.kind !== 'event') {
      const asked = await deliveryLog.find(webhookId, deliveryId)
      return asked?.content && { ...asked, content: asked.content }
    }
    const event = await outbox.read(outboxKey(tenantKey, uploadId, eventId))
    if (!event) return undefined
    const { id, type, at, upload } = event
    return {
      version: 1,
      id: deliveryId,
      kind: 'event',
      eventId,
      type,
      uploadId,
      state: 'pending',
      createdAt: at,
      attempt: job.attempts,
      content: { id, type, timestamp: at, data: upload },
    }
  }
}

export type DeliverEvent = ReturnType<typeof createDeliverEvent>

/** Removes what an entry says of the attempt before. */
function withoutAttempt(delivery: StoredDelivery): StoredDelivery {
  const { at: _at, ms: _ms, status: _status, error: _error, excerpt: _excerpt, ...rest } = delivery
  const { nextAttemptAt: _next, ...entry } = rest
  return entry
}
