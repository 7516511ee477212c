import type { Lifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import { createWebhookUrlCheck } from '@millrace/shared/webhooks/webhook-url.ts'
import type { Api } from '../http/api.ts'
import { createCreateWebhook } from './create-webhook.ts'
import { createFindWebhook } from './find-webhook.ts'
import { webhookRoutes } from './webhook-routes.ts'

/** Adds `/webhooks`, with which a tenant says where its events are sent. */
export function registerWebhooks(
  scope: Api,
  deps: { lifecycle: Pick<Lifecycle, 'webhooks'>; config: { webhookAllowedNetworks: string[] } },
): void {
  const { webhooks } = deps.lifecycle
  webhookRoutes(scope, {
    webhooks,
    createWebhook: createCreateWebhook({ webhooks }),
    findWebhook: createFindWebhook({ webhooks }),
    webhookUrlProblem: createWebhookUrlCheck(deps.config.webhookAllowedNetworks),
  })
}
