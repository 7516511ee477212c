import { type Operations, securityRequirements } from './operation.ts'

const id = 'wh_5f0c2a9be1d34786a0c1d2e3'
const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwQ2Q5m8mRk1c='
const at = '2026-11-25T12:00:00.000Z'
const webhook = {
  id,
  url: 'https://app.example/hooks/millrace',
  events: ['upload.ready', 'upload.rejected'],
  description: 'orders',
  enabled: true,
  secrets: [{ createdAt: at }],
  createdAt: at,
  updatedAt: at,
}
const shared = {
  tag: 'tenant',
  security: securityRequirements.tenant,
} as const

export const webhookOperations: Operations = {
  'POST /webhooks': {
    operationId: 'createWebhook',
    summary: 'Have events sent to a URL',
    description:
      "Events of all uploads of the tenant and its users are sent to the URL, signed as Standard Webhooks says. The response has the secret that verifies the signatures; it is not shown again. A tenant has at most 20 webhooks. URLs with a user name or a password are refused, and so are addresses that are not public, unless they are in one of the operator's `WEBHOOK_ALLOWED_NETWORKS`; names are resolved and checked when an event is sent. Other instances know a new webhook after 5 seconds.",
    ...shared,
    body: {
      url: webhook.url,
      events: webhook.events,
      description: webhook.description,
    },
    responses: {
      201: {
        description: 'The webhook and its secret.',
        example: { ...webhook, secret },
        headers: { location: 'the path of the webhook' },
      },
    },
    errors: ['webhook_url_refused', 'too_many_webhooks', 'dependency_unavailable'],
  },
  'GET /webhooks': {
    operationId: 'listWebhooks',
    summary: "List the tenant's webhooks",
    description: 'All of them, oldest first. A change made through another instance shows within 5 seconds.',
    ...shared,
    responses: { 200: { description: 'The webhooks.', example: { webhooks: [webhook] } } },
    errors: ['dependency_unavailable'],
  },
  'GET /webhooks/:id': {
    operationId: 'readWebhook',
    summary: 'Read a webhook',
    description: 'Its secrets are not shown. `disabledReason` says why Millrace disabled it.',
    ...shared,
    parameters: { id },
    responses: {
      200: {
        description: 'The webhook.',
        example: webhook,
        otherExamples: {
          disabled: {
            ...webhook,
            enabled: false,
            disabledReason: 'The receiver answered with status 410 (Gone).',
          },
        },
      },
    },
    errors: ['webhook_not_found', 'dependency_unavailable'],
  },
  'PATCH /webhooks/:id': {
    operationId: 'changeWebhook',
    summary: 'Change a webhook',
    description:
      'Changes the fields that the body has. While a webhook is disabled, no events are kept for it. Setting `enabled` clears `disabledReason`.',
    ...shared,
    parameters: { id },
    body: { events: ['upload.ready', 'upload.rejected', 'upload.failed', 'upload.deleted'] },
    otherBodies: { disable: { enabled: false } },
    responses: { 200: { description: 'The changed webhook.', example: webhook } },
    errors: ['webhook_not_found', 'webhook_url_refused', 'conflict', 'dependency_unavailable'],
  },
  'POST /webhooks/:id/rotate-secret': {
    operationId: 'rotateWebhookSecret',
    summary: 'Replace the secret of a webhook',
    description:
      'Both secrets sign for 24 hours, so that the receiver can change over without missing an event. A secret that was replaced earlier ends at once: rotate twice to end a secret that others know.',
    ...shared,
    parameters: { id },
    body: {},
    bodyOptional: true,
    responses: {
      200: {
        description: 'The webhook and its new secret, which is not shown again.',
        example: {
          ...webhook,
          secrets: [{ createdAt: at }, { createdAt: at, endsAt: '2026-11-26T12:00:00.000Z' }],
          secret,
        },
      },
    },
    errors: ['webhook_not_found', 'conflict', 'dependency_unavailable'],
  },
  'DELETE /webhooks/:id': {
    operationId: 'deleteWebhook',
    summary: 'Delete a webhook',
    description: 'Nothing is sent to it any more, including events that were not delivered yet.',
    ...shared,
    parameters: { id },
    responses: { 204: { description: 'Deleted.' } },
    errors: ['webhook_not_found', 'dependency_unavailable'],
  },
}
