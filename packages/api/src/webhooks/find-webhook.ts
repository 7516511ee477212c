import { AppError } from '@millrace/shared/service/app-error.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import { Webhook } from '@millrace/shared/webhooks/webhook.ts'
import type { WebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import { Compile } from 'typebox/compile'

const webhookId = Compile(Webhook.properties.id)

/** The id in a path. It is any string, because an invalid id is a 404 like an unknown one. */
export const WebhookParams = Type.Object({ id: Type.String({ description: '`wh_` and 24 hex digits' }) })

/** Returns the tenant that a request administers. Its route needs the scope `tenant`. */
export function tenantOf({ caller }: FastifyRequest): string {
  if (!caller) throw new AppError('unauthenticated')
  return caller.tenant
}

/** Where a webhook is stored: under the key of its tenant. */
export type WebhookAddress = { tenant: string; id: string }

/**
 * Returns where a webhook of the request's tenant is stored.
 * @throws AppError `webhook_not_found` if it is no id
 */
export function webhookAddress(request: FastifyRequest, id: string): WebhookAddress {
  if (!webhookId.Check(id)) throw new AppError('webhook_not_found')
  return { tenant: tenantKey(tenantOf(request)), id }
}

/** Finds webhooks of the tenant that sent the request. */
export function createFindWebhook({ webhooks }: { webhooks: Pick<WebhookStore, 'read'> }) {
  /** @throws AppError `webhook_not_found`, also if the webhook belongs to another tenant */
  return async function findWebhook(request: FastifyRequest, id: string): Promise<Webhook> {
    const address = webhookAddress(request, id)
    const webhook = await webhooks.read(address.tenant, address.id)
    if (!webhook) throw new AppError('webhook_not_found')
    return webhook
  }
}

export type FindWebhook = ReturnType<typeof createFindWebhook>
