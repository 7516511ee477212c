import { hasEvent, type Manifest, type Manifests } from '@millrace/shared/ledger/manifest.ts'
import { outboxKey } from '@millrace/shared/ledger/object-keys.ts'
import { noTracing, type Tracing } from '@millrace/shared/tracing/tracing.ts'
import type { DeliveryLog } from '@millrace/shared/webhooks/delivery-log.ts'
import {
  type DeliveryQueue,
  type DistributeEventJob,
  deliveryIdOf,
} from '@millrace/shared/webhooks/delivery-queue.ts'
import type { Outbox } from '@millrace/shared/webhooks/outbox.ts'
import type { WebhookEvent, WebhookEventType } from '@millrace/shared/webhooks/webhook-event.ts'
import type { WebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import type { Logger } from 'pino'
import type { EventEnds } from './event-ends.ts'

/** How long an event waits for its manifest. Times in ms. */
export type ManifestTimes = {
  /** The first delay, doubled each time, and the longest one. */
  firstDelayMs: number
  longestDelayMs: number
  /** An outcome that no manifest names so long after it was written did not happen. */
  giveUpAfterMs: number
}

export const usualManifestTimes: ManifestTimes = {
  firstDelayMs: 1_000,
  longestDelayMs: 60_000,
  giveUpAfterMs: 60 * 60_000,
}

const outcomes: ReadonlySet<WebhookEventType> = new Set(['upload.ready', 'upload.rejected', 'upload.failed'])

/** One run of an event's job. */
type DistributionRun = { starts: number; log: Logger }

/** What the job of an event does next: nothing more, wait for its deliveries, or start again later. */
export type NextStep = 'done' | 'wait' | { delayMs: number }

/**
 * Creates the function that brings an event to the webhooks that want it. It runs when the event is announced, and again
 * when all its deliveries have ended: then the event leaves the outbox.
 */
export function createDistributeEvent(deps: {
  outbox: Outbox
  webhooks: WebhookStore
  manifests: Manifests
  queue: DeliveryQueue
  ends: EventEnds
  deliveryLog: DeliveryLog
  times: ManifestTimes
  tracing?: Pick<Tracing, 'within'> | undefined
}) {
  const { outbox, webhooks, manifests, queue, ends, deliveryLog, times, tracing = noTracing } = deps

  /**
   * @param run.starts how often the job was started before
   * @param run.log of the job
   */
  return async function distributeEvent(
    { tenantKey, uploadId, eventId }: DistributeEventJob,
    run: DistributionRun,
  ): Promise<NextStep> {
    const event = await outbox.read(outboxKey(tenantKey, uploadId, eventId))
    if (!event) return 'done'
    // The relay found the event without knowing its trace.
    return tracing.within(event.traceparent, () => distribute(event, run))
  }

  async function distribute(event: WebhookEvent, { starts, log }: DistributionRun): Promise<NextStep> {
    const { tenantKey, id: eventId } = event
    const uploadId = event.upload.id
    const done = await ends.webhooksOf(eventId)
    // Once a webhook has it, it has happened.
    if (done.size === 0 && needsManifest(event) && !isNamed(event, await manifestOf(event))) {
      const isErased = (await outbox.listOfUpload(tenantKey, uploadId)).some(
        ({ type }) => type === 'upload.deleted',
      )
      if (!isErased && Date.now() - Date.parse(event.at) <= times.giveUpAfterMs) {
        return { delayMs: Math.min(times.longestDelayMs, times.firstDelayMs * 2 ** Math.min(starts, 20)) }
      }
      log.info(
        { event: 'webhook-event-dropped', type: event.type },
        'webhook event dropped: no manifest names it',
      )
      await remove(event)
      return 'done'
    }
    const isForEvent = ({
      id,
      enabled,
      events,
    }: {
      id: string
      enabled: boolean
      events: WebhookEventType[]
    }) => enabled && events.includes(event.type) && !done.has(id)
    let remaining = (await webhooks.list(tenantKey)).filter(isForEvent)
    // A webhook that another instance has just created is not missed.
    if (remaining.length === 0)
      remaining = (await webhooks.list(tenantKey, { isFresh: true })).filter(isForEvent)
    if (remaining.length === 0) {
      await remove(event)
      return 'done'
    }
    const earlier = await earlierOnes(event)
    for (const webhook of remaining) {
      const after = earlier.filter(({ type }) => webhook.events.includes(type)).map(({ id }) => id)
      const deliveryId = deliveryIdOf(eventId, webhook.id)
      await queue.deliver(
        { tenantKey, uploadId, eventId, webhookId: webhook.id, deliveryId, kind: 'event', after },
        { isPartOfEvent: true },
      )
    }
    return 'wait'
  }

  function manifestOf({ owner, upload }: WebhookEvent): Promise<Manifest | undefined> {
    return manifests.read({ owner, id: upload.id })
  }

  /** Returns the events of the upload that happened before and are not delivered yet. */
  async function earlierOnes(event: WebhookEvent): Promise<WebhookEvent[]> {
    const earlier = (await outbox.listOfUpload(event.tenantKey, event.upload.id)).filter(precedes(event))
    if (!earlier.some(needsManifest)) return earlier
    // One that no manifest names was probably left by a worker that died. It holds up no other.
    const manifest = await manifestOf(event)
    return earlier.filter((other) => !needsManifest(other) || isNamed(other, manifest))
  }

  async function remove(event: WebhookEvent): Promise<void> {
    if (event.type === 'upload.deleted') {
      const all = await webhooks.list(event.tenantKey)
      await Promise.all(all.map(({ id }) => deliveryLog.forget(id, event.upload.id)))
    }
    await outbox.remove(event)
    await ends.forget(event.id)
  }
}

export type DistributeEvent = ReturnType<typeof createDistributeEvent>

/**
 * Whether an event has happened only if a manifest names it: an outcome is written before its manifest. While an upload is
 * processed again, the manifest before is there, so an outcome that is not named may still happen.
 */
function needsManifest({ type, needsNoManifest }: WebhookEvent): boolean {
  return outcomes.has(type) && !needsNoManifest
}

function isNamed({ id }: WebhookEvent, manifest: Manifest | undefined): boolean {
  return manifest !== undefined && hasEvent(manifest, id)
}

/** Returns whether another event of the same upload happened before this one. `listOfUpload` sorts them. */
function precedes(event: WebhookEvent) {
  let isBefore = true
  return ({ id }: WebhookEvent): boolean => {
    if (id === event.id) isBefore = false
    return isBefore
  }
}
