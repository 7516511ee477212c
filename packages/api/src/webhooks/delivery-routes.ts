import { Delivery, DeliveryId, type DeliveryLog } from '@millrace/shared/webhooks/delivery-log.ts'
import { WebhookEventType } from '@millrace/shared/webhooks/webhook-event.ts'
import Type from 'typebox'
import type { Api } from '../http/api.ts'
import { type AskDelivery, viewDelivery } from './ask-delivery.ts'
import { type FindWebhook, WebhookParams } from './find-webhook.ts'

const DeliveryParams = Type.Object({
  ...WebhookParams.properties,
  // Any string: an invalid id is a 404 like an unknown one.
  deliveryId: Type.String({ description: '`dlv_` and 32 hex digits' }),
})

const Page = Type.Object(
  {
    cursor: Type.Optional(DeliveryId),
    limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
  },
  { additionalProperties: false },
)

const DeliveryPage = Type.Object(
  {
    deliveries: Type.Array(Delivery),
    nextCursor: Type.Optional(
      Type.String({ description: 'cursor of the next page; absent on the last one' }),
    ),
  },
  { title: 'DeliveryPage' },
)

const ReplayDeliveryRequest = Type.Object({}, { title: 'ReplayDeliveryRequest', additionalProperties: false })

const TestWebhookRequest = Type.Object(
  { type: Type.Optional(WebhookEventType) },
  { title: 'TestWebhookRequest', additionalProperties: false },
)

/** The log of a webhook's deliveries, and deliveries that are asked for. */
export function deliveryRoutes(
  api: Api,
  deps: { findWebhook: FindWebhook; deliveryLog: DeliveryLog; askDelivery: AskDelivery },
): void {
  const { findWebhook, deliveryLog, askDelivery } = deps
  const config = { scope: 'tenant' } as const

  api.get(
    '/webhooks/:id/deliveries',
    { config, schema: { params: WebhookParams, querystring: Page, response: { 200: DeliveryPage } } },
    async (request) => {
      const webhook = await findWebhook(request, request.params.id)
      const { cursor: before, limit } = request.query
      const { deliveries, next } = await deliveryLog.list(webhook.id, { before, limit })
      return { deliveries: deliveries.map(viewDelivery), ...(next !== undefined && { nextCursor: next }) }
    },
  )

  api.post(
    '/webhooks/:id/deliveries/:deliveryId/replay',
    {
      config,
      schema: { params: DeliveryParams, body: ReplayDeliveryRequest, response: { 202: Delivery } },
      preValidation: async (request) => {
        request.body ??= {}
      },
    },
    async (request, reply) => {
      const webhook = await findWebhook(request, request.params.id)
      reply.code(202)
      return askDelivery.replay(webhook, request.params.deliveryId)
    },
  )

  api.post(
    '/webhooks/:id/test',
    {
      config,
      schema: { params: WebhookParams, body: TestWebhookRequest, response: { 202: Delivery } },
      preValidation: async (request) => {
        // The body is optional.
        request.body ??= {}
      },
    },
    async (request, reply) => {
      const webhook = await findWebhook(request, request.params.id)
      reply.code(202)
      return askDelivery.test(webhook, request.body.type)
    },
  )
}
