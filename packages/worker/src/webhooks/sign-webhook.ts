import type { Webhook } from '@millrace/shared/webhooks/webhook.ts'
import { Webhook as Signer } from 'standardwebhooks'

/**
 * Returns the headers of a request that Standard Webhooks defines. Each valid secret signs, so a receiver that knows one of
 * them accepts the request while secrets rotate.
 *
 * @param message.id of the event: the same whenever it is sent again
 * @param now the time of this attempt: receivers refuse times that are 5 minutes off
 */
export function signWebhook(
  secrets: Webhook['secrets'],
  { id, body }: { id: string; body: Buffer },
  now: Date = new Date(),
): { 'webhook-id': string; 'webhook-timestamp': string; 'webhook-signature': string } {
  const valid = secrets.filter(({ endsAt }) => endsAt === undefined || Date.parse(endsAt) > now.getTime())
  return {
    'webhook-id': id,
    'webhook-timestamp': String(Math.floor(now.getTime() / 1000)),
    'webhook-signature': valid.map(({ secret }) => new Signer(secret).sign(id, now, body)).join(' '),
  }
}
