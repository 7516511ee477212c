import { Webhook } from '@millrace/shared/webhooks/webhook.ts'
import Type, { type Static } from 'typebox'
import { validSecrets } from './webhook-secret.ts'

const { id, url, events, description, enabled, disabledReason, createdAt, updatedAt } = Webhook.properties

const fields = {
  id,
  url,
  events,
  description,
  enabled,
  disabledReason,
  secrets: Type.Array(
    Type.Object({
      createdAt: Type.String({ description: 'ISO 8601, UTC' }),
      endsAt: Type.Optional(
        Type.String({ description: 'ISO 8601, UTC; until then it is valid beside a newer one' }),
      ),
    }),
    { description: 'the valid secrets without their values, the newest first; each signs' },
  ),
  createdAt,
  updatedAt,
}

/** A webhook in responses, without the values of its secrets. */
export const WebhookView = Type.Object(fields, { title: 'Webhook' })
export type WebhookView = Static<typeof WebhookView>

/** A webhook and its newest secret, which is shown once. */
export const WebhookWithSecret = Type.Object(
  {
    ...fields,
    secret: Type.String({
      description: '`whsec_` and base64: verifies signatures (Standard Webhooks). It is not shown again',
    }),
  },
  { title: 'WebhookWithSecret' },
)
export type WebhookWithSecret = Static<typeof WebhookWithSecret>

/** Returns a webhook as its tenant sees it. */
export function viewWebhook({ version: _, tenant: __, secrets, ...webhook }: Webhook): WebhookView {
  const valid = validSecrets(secrets, new Date())
  return { ...webhook, secrets: valid.map(({ secret: ___, ...rest }) => rest) }
}

/** Returns a webhook with its newest secret. */
export function viewWithSecret(webhook: Webhook): WebhookWithSecret {
  return { ...viewWebhook(webhook), secret: webhook.secrets[0]?.secret ?? '' }
}
