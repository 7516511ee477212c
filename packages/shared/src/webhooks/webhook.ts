import Type, { type Static } from 'typebox'
import { TenantName } from '../uploads/owner.ts'
import { WebhookEventType } from './webhook-event.ts'

/** A secret of Standard Webhooks: `whsec_` and base64. While secrets rotate, two are valid, and each signs. */
const WebhookSecret = Type.Object({
  secret: Type.String({ pattern: '^whsec_[A-Za-z0-9+/]+=*$' }),
  createdAt: Type.String(),
  endsAt: Type.Optional(Type.String({ description: 'ISO 8601; set when a newer one replaced it' })),
})

/** Longest URL of a webhook, in characters, also after percent-encoding. */
export const webhookUrlMaxLength = 2048

/** A webhook of a tenant: where its events are sent. The object in S3. */
export const Webhook = Type.Object({
  version: Type.Literal(1),
  id: Type.String({ pattern: '^wh_[0-9a-f]{24}$' }),
  tenant: TenantName,
  url: Type.String({ maxLength: webhookUrlMaxLength }),
  events: Type.Array(WebhookEventType, { minItems: 1, uniqueItems: true }),
  description: Type.String({ maxLength: 256 }),
  enabled: Type.Boolean(),
  disabledReason: Type.Optional(
    Type.String({ description: 'why Millrace disabled it, such as a response 410' }),
  ),
  secrets: Type.Array(WebhookSecret, { minItems: 1, maxItems: 2 }),
  createdAt: Type.String(),
  updatedAt: Type.String(),
})
export type Webhook = Static<typeof Webhook>
