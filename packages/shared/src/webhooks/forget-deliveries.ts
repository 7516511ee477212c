import { tenantKeyOf } from '../uploads/owner.ts'
import type { UploadAddress } from '../uploads/upload-address.ts'
import type { DeliveryLog } from './delivery-log.ts'
import type { WebhookStore } from './webhook-store.ts'

/**
 * Removes what the logs of deliveries say of an upload that is erased.
 */
export function createForgetDeliveries(deps: {
  webhooks: Pick<WebhookStore, 'list'>
  deliveryLog: Pick<DeliveryLog, 'forget'>
}) {
  const { webhooks, deliveryLog } = deps
  return async function forgetDeliveries({ owner, id }: UploadAddress): Promise<void> {
    const tenantKey = tenantKeyOf(owner)
    if (tenantKey === undefined) return
    const all = await webhooks.list(tenantKey)
    await Promise.all(all.map((webhook) => deliveryLog.forget(webhook.id, id)))
  }
}

export type ForgetDeliveries = ReturnType<typeof createForgetDeliveries>
