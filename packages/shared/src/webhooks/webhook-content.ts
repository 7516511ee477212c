import Type, { type Static } from 'typebox'
import { WebhookEvent, WebhookEventType, WebhookUpload } from './webhook-event.ts'

/** The body of a request to a webhook (Standard Webhooks, "Payload structure"). */
export const WebhookContent = Type.Object(
  {
    id: WebhookEvent.properties.id,
    type: WebhookEventType,
    timestamp: Type.String({ description: 'ISO 8601, UTC: when it happened' }),
    test: Type.Optional(
      Type.Literal(true, { description: 'set if it was sent by request and nothing happened' }),
    ),
    data: WebhookUpload,
  },
  { title: 'WebhookEvent' },
)
export type WebhookContent = Static<typeof WebhookContent>
