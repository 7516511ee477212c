import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createDeliveryLog } from '@millrace/shared/webhooks/delivery-log.ts'
import type { DeliveryQueue } from '@millrace/shared/webhooks/delivery-queue.ts'
import { createWebhookUrlCheck } from '@millrace/shared/webhooks/webhook-url.ts'
import type { Redis } from 'ioredis'
import type { Api } from '../http/api.ts'
import { createAskDelivery } from './ask-delivery.ts'
import { createCreateWebhook } from './create-webhook.ts'
import { deliveryRoutes } from './delivery-routes.ts'
import { createFindWebhook } from './find-webhook.ts'
import { webhookRoutes } from './webhook-routes.ts'

/** Adds `/webhooks`, with which a tenant says where its events are sent. */
export function registerWebhooks(
  scope: Api,
  deps: {
    redis: Redis
    prefix: string
    lifecycle: Pick<Lifecycle, 'webhooks'>
    deliveryQueue: DeliveryQueue
    config: { webhookAllowedNetworks: string[] }
  },
): void {
  const { redis, prefix, deliveryQueue } = deps
  const { webhooks } = deps.lifecycle
  const findWebhook = createFindWebhook({ webhooks })
  const deliveryLog = createDeliveryLog({ redis, prefix })
  webhookRoutes(scope, {
    webhooks,
    createWebhook: createCreateWebhook({ webhooks }),
    findWebhook,
    webhookUrlProblem: createWebhookUrlCheck(deps.config.webhookAllowedNetworks),
  })
  const askDelivery = createAskDelivery({ deliveryLog, deliveryQueue })
  deliveryRoutes(scope, { findWebhook, deliveryLog, askDelivery })
}
