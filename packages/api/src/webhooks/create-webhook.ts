import { randomBytes } from 'node:crypto'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import type { Webhook } from '@millrace/shared/webhooks/webhook.ts'
import type { WebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import { newWebhookSecret } from './webhook-secret.ts'

/** Each event is a request to each of them. */
export const maxWebhooksPerTenant = 20

/** Creates webhooks with a new id and a new secret. */
export function createCreateWebhook({ webhooks }: { webhooks: WebhookStore }) {
  /**
   * @param tenant its name
   * @throws AppError `too_many_webhooks`
   */
  return async function createWebhook(
    tenant: string,
    fields: Pick<Webhook, 'url' | 'events'> & Partial<Pick<Webhook, 'description' | 'enabled'>>,
  ): Promise<Webhook> {
    const key = tenantKey(tenant)
    if ((await webhooks.list(key)).length >= maxWebhooksPerTenant) throw tooMany()
    const now = new Date().toISOString()
    const webhook: Webhook = {
      version: 1,
      id: `wh_${randomBytes(12).toString('hex')}`,
      tenant,
      description: '',
      enabled: true,
      ...fields,
      secrets: [{ secret: newWebhookSecret(), createdAt: now }],
      createdAt: now,
      updatedAt: now,
    }
    await webhooks.create(webhook)
    // Others may have been created at the same time. Each sees all that were written before it looked, so of those that
    // stay, the last one saw all. If many are created at once, fewer than allowed may stay.
    if ((await webhooks.list(key)).length <= maxWebhooksPerTenant) return webhook
    await webhooks.remove(key, webhook.id)
    throw tooMany()
  }
}

export type CreateWebhook = ReturnType<typeof createCreateWebhook>

function tooMany(): AppError {
  return new AppError('too_many_webhooks', { limit: maxWebhooksPerTenant, remaining: 0 })
}
