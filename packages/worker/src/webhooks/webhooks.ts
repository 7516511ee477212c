import { createPublicAddress } from '@millrace/shared/imports/public-address.ts'
import type { Manifests } from '@millrace/shared/ledger/manifest.ts'
import type { Tracing } from '@millrace/shared/tracing/tracing.ts'
import { createDeliveryLog } from '@millrace/shared/webhooks/delivery-log.ts'
import type {
  DeliverEventJob,
  DeliveryQueue,
  DistributeEventJob,
} from '@millrace/shared/webhooks/delivery-queue.ts'
import type { Outbox } from '@millrace/shared/webhooks/outbox.ts'
import type { WebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import { DelayedError, type Job, WaitingChildrenError } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { createSourceAddresses } from '../imports/source-addresses.ts'
import { createDeliverEvent } from './deliver-event.ts'
import { createDistributeEvent, type ManifestTimes, usualManifestTimes } from './distribute-event.ts'
import { createEventEnds } from './event-ends.ts'
import { createOutboxRelay, usualRelayIntervalMs } from './outbox-relay.ts'
import { type RetryTimes, usualRetryTimes } from './retry-delay.ts'
import { createSendWebhook, type SendLimits, usualSendLimits } from './send-webhook.ts'
import { createUploadTurns, type TurnTimes, usualTurnTimes } from './upload-turns.ts'
import { createWebhookSlots, type SlotLimits, usualSlotLimits } from './webhook-slots.ts'
import { createWorkerShares } from './worker-shares.ts'

/** Jobs of webhooks that a worker runs at once. They wait for receivers and use hardly any CPU. */
export const webhookSlotsPerWorker = 32

/** Limits and times that replace the usual ones. */
export type WebhookLimits = {
  retryTimes?: RetryTimes
  manifestTimes?: ManifestTimes
  turnTimes?: TurnTimes
  slotLimits?: SlotLimits
  sendLimits?: SendLimits
  relayIntervalMs?: number
}

type Attempt = { log: Logger; signal: AbortSignal }
type WebhookJob = Job<unknown, void>

/** Composes the sending of webhooks: an event of the outbox becomes a delivery to each webhook that wants it. */
export function createWebhooks(deps: {
  redis: Redis
  prefix: string
  outbox: Outbox
  webhooks: WebhookStore
  manifests: Manifests
  queue: DeliveryQueue
  log: Logger
  tracing?: Tracing
  config: { webhookAllowedNetworks: string[]; importDnsServers: string[] }
  limits?: WebhookLimits
}) {
  const { redis, prefix, queue, config, limits = {} } = deps
  const { retryTimes = usualRetryTimes } = limits
  const ends = createEventEnds({ redis, prefix })
  const deliveryLog = createDeliveryLog({ redis, prefix })
  const turns = createUploadTurns({ ...deps, ends, times: limits.turnTimes ?? usualTurnTimes })
  const distributeEvent = createDistributeEvent({
    ...deps,
    ends,
    deliveryLog,
    times: limits.manifestTimes ?? usualManifestTimes,
  })
  const deliverEvent = createDeliverEvent({
    ...deps,
    ends,
    deliveryLog,
    turns,
    slots: createWebhookSlots({ redis, prefix, limits: limits.slotLimits ?? usualSlotLimits }),
    shares: createWorkerShares(webhookSlotsPerWorker),
    sendWebhook: createSendWebhook({
      addresses: createSourceAddresses({
        isPermitted: createPublicAddress(config.webhookAllowedNetworks),
        dnsServers: config.importDnsServers,
      }),
      limits: limits.sendLimits ?? usualSendLimits,
      tracing: deps.tracing,
    }),
    retryTimes,
  })

  return {
    relay: createOutboxRelay({ ...deps, intervalMs: limits.relayIntervalMs ?? usualRelayIntervalMs }),

    /**
     * Runs the job of an event.
     * @throws WaitingChildrenError while its deliveries are under way, DelayedError if it is started again later
     */
    async runDistribution(job: WebhookJob, event: DistributeEventJob, { log }: Attempt): Promise<void> {
      const eventLog = log.child({ webhookEvent: event.eventId, uploadId: event.uploadId })
      for (;;) {
        const next = await distributeEvent(event, { starts: startsBefore(job), log: eventLog })
        if (next === 'done') return await queue.leave(event)
        if (next !== 'wait') return await startLater(job, next.delayMs)
        if (await job.moveToWaitingChildren(job.token ?? '')) throw new WaitingChildrenError()
        // All deliveries have ended meanwhile.
      }
    },

    /**
     * Runs the job of a delivery.
     * @throws DelayedError if it is started again later
     */
    async runDelivery(job: WebhookJob, delivery: DeliverEventJob, { log, signal }: Attempt): Promise<void> {
      const { webhookId, deliveryId, eventId: webhookEvent, uploadId } = delivery
      const next = await deliverEvent(delivery, {
        endsAtMs: job.timestamp + retryTimes.giveUpAfterMs,
        starts: startsBefore(job),
        log: log.child({ webhookId, deliveryId, webhookEvent, uploadId }),
        signal,
      })
      if (next === 'done') return
      if (next.hasFailed) await job.updateData({ ...delivery, attempts: delivery.attempts + 1 })
      await startLater(job, next.delayMs)
    },

    /** Ends a delivery whose job failed through faults of our own. The webhook's other events go on. */
    async giveUpDelivery({ eventId, webhookId, kind }: DeliverEventJob): Promise<void> {
      if (kind === 'event') await ends.record(eventId, webhookId, 'gave-up')
    },
  }
}

export type Webhooks = ReturnType<typeof createWebhooks>

/** @throws DelayedError always: BullMQ then leaves the job where it is */
async function startLater(job: WebhookJob, delayMs: number): Promise<never> {
  await job.moveToDelayed(Date.now() + delayMs, job.token)
  throw new DelayedError()
}

function startsBefore({ attemptsStarted }: WebhookJob): number {
  return Math.max(0, attemptsStarted - 1)
}
