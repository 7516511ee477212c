import { type Operations, securityRequirements } from './operation.ts'

const id = 'wh_5f0c2a9be1d34786a0c1d2e3'
const delivery = {
  id: 'dlv_0f3c5a7e9b1d2f4a6c8e0b2d4f6a8c0e',
  kind: 'event',
  eventId: 'evt_7c9e1b3d5f7a9c1e3b5d7f9a1c3e5b7d',
  type: 'upload.ready',
  uploadId: '019ac6b0-5d1e-7c3a-9f2b-4e6d8a0c1b3d',
  state: 'pending',
  createdAt: '2026-11-25T12:00:00.000Z',
  attempt: 2,
  at: '2026-11-25T12:00:05.000Z',
  ms: 31,
  status: 503,
  excerpt: 'try later',
  nextAttemptAt: '2026-11-25T12:00:19.000Z',
} as const
const {
  attempt: _attempt,
  at: _at,
  ms: _ms,
  status: _status,
  excerpt: _excerpt,
  nextAttemptAt: _next,
  ...added
} = delivery
const shared = { tag: 'tenant', security: securityRequirements.tenant } as const

export const deliveryOperations: Operations = {
  'GET /webhooks/:id/deliveries': {
    operationId: 'listDeliveries',
    summary: "List a webhook's deliveries",
    description:
      'The newest 200 of the last 7 days, newest first, each with its last attempt. A delivery appears with its first ' +
      'attempt. The log is for people and for replays: it may lose entries, while events that are not delivered yet are ' +
      'kept in S3.',
    ...shared,
    parameters: { id, cursor: delivery.id, limit: 50 },
    responses: {
      200: {
        description: 'A page of deliveries.',
        example: {
          deliveries: [
            delivery,
            { ...added, state: 'delivered', attempt: 1, at: delivery.at, ms: 12, status: 204, excerpt: '' },
          ],
          nextCursor: delivery.id,
        },
      },
    },
    errors: ['webhook_not_found', 'dependency_unavailable'],
  },
  'POST /webhooks/:id/deliveries/:deliveryId/replay': {
    operationId: 'replayDelivery',
    summary: 'Send the event of a delivery again',
    description:
      'It is a delivery of its own, with the same `webhook-id`, and is tried again like any other. It is sent at once, also ' +
      'while the webhook is disabled or its receiver fails. The event of an upload that was deleted cannot be sent again.',
    ...shared,
    parameters: { id, deliveryId: delivery.id },
    body: {},
    bodyOptional: true,
    responses: {
      202: {
        description: 'The new delivery.',
        example: { ...added, id: 'dlv_2e4a6c8e0b2d4f6a8c0e1f3c5a7e9b1d', kind: 'replay', attempt: 0 },
      },
    },
    errors: ['webhook_not_found', 'delivery_not_found', 'dependency_unavailable'],
  },
  'POST /webhooks/:id/test': {
    operationId: 'testWebhook',
    summary: 'Send a sample event',
    description:
      'Sends an event about an upload that does not exist, with `"test": true`, once. Its outcome is in the log. The body is ' +
      "optional; `type` is any type of event, by default the webhook's first one.",
    ...shared,
    parameters: { id },
    body: { type: 'upload.ready' },
    bodyOptional: true,
    responses: {
      202: { description: 'The delivery.', example: { ...added, kind: 'test', attempt: 0 } },
    },
    errors: ['webhook_not_found', 'dependency_unavailable'],
  },
}
