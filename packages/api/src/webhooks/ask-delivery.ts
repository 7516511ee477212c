import { AppError } from '@millrace/shared/service/app-error.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import {
  type Delivery,
  type DeliveryKind,
  type DeliveryLog,
  newDeliveryId,
  type StoredDelivery,
  type WebhookContent,
} from '@millrace/shared/webhooks/delivery-log.ts'
import type { DeliveryQueue } from '@millrace/shared/webhooks/delivery-queue.ts'
import type { Webhook } from '@millrace/shared/webhooks/webhook.ts'
import type { WebhookEventType } from '@millrace/shared/webhooks/webhook-event.ts'
import { testContent } from './test-content.ts'

/**
 * Has workers send what a person asked for: an earlier event again, or a sample. Its content is in the log of deliveries,
 * from which the worker takes it.
 */
export function createAskDelivery(deps: { deliveryLog: DeliveryLog; deliveryQueue: DeliveryQueue }) {
  const { deliveryLog, deliveryQueue } = deps

  async function ask(webhook: Webhook, content: WebhookContent, kind: DeliveryKind): Promise<Delivery> {
    const delivery: StoredDelivery = {
      version: 1,
      id: newDeliveryId(),
      kind,
      eventId: content.id,
      type: content.type,
      uploadId: content.data.id,
      state: 'pending',
      createdAt: new Date().toISOString(),
      attempt: 0,
      content,
    }
    await deliveryLog.put(webhook.id, delivery)
    await deliveryQueue.deliver(
      {
        tenantKey: tenantKey(webhook.tenant),
        uploadId: content.data.id,
        eventId: content.id,
        webhookId: webhook.id,
        deliveryId: delivery.id,
        kind,
        after: [],
      },
      { isPartOfEvent: false },
    )
    return viewDelivery(delivery)
  }

  return {
    /**
     * Sends the event of an earlier delivery again, with the same id.
     * @throws AppError `delivery_not_found` if the log does not have its content any more
     */
    async replay(webhook: Webhook, deliveryId: string): Promise<Delivery> {
      const earlier = await deliveryLog.find(webhook.id, deliveryId)
      if (!earlier?.content) throw new AppError('delivery_not_found')
      return ask(webhook, earlier.content, earlier.kind === 'test' ? 'test' : 'replay')
    },

    /** Sends a sample. @param type default: the first one that the webhook wants */
    async test(webhook: Webhook, type: WebhookEventType | undefined): Promise<Delivery> {
      return ask(webhook, testContent(type ?? webhook.events[0] ?? 'upload.ready'), 'test')
    },
  }
}

export type AskDelivery = ReturnType<typeof createAskDelivery>

/** Returns a delivery without what was sent, which may be large. */
export function viewDelivery({ version: _, content: __, ...delivery }: StoredDelivery): Delivery {
  return delivery
}
