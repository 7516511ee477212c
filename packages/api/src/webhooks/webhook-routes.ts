import { AppError } from '@millrace/shared/service/app-error.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import { Webhook } from '@millrace/shared/webhooks/webhook.ts'
import { WebhookEventType } from '@millrace/shared/webhooks/webhook-event.ts'
import type { WebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import type { WebhookUrlCheck } from '@millrace/shared/webhooks/webhook-url.ts'
import type { FastifyRequest } from 'fastify'
import Type from 'typebox'
import type { Api } from '../http/api.ts'
import type { CreateWebhook } from './create-webhook.ts'
import { type FindWebhook, tenantOf, WebhookParams, webhookAddress } from './find-webhook.ts'
import { newWebhookSecret, rotateSecrets } from './webhook-secret.ts'
import { viewWebhook, viewWithSecret, WebhookView, WebhookWithSecret } from './webhook-view.ts'

const { url, description, enabled } = Webhook.properties
const events = Type.Array(WebhookEventType, {
  minItems: 1,
  maxItems: WebhookEventType.anyOf.length,
  uniqueItems: true,
})

const CreateWebhookRequest = Type.Object(
  { url, events, description: Type.Optional(description), enabled: Type.Optional(enabled) },
  { title: 'CreateWebhookRequest', additionalProperties: false },
)

const ChangeWebhookRequest = Type.Object(
  {
    url: Type.Optional(url),
    events: Type.Optional(events),
    description: Type.Optional(description),
    enabled: Type.Optional(enabled),
  },
  { title: 'ChangeWebhookRequest', additionalProperties: false, minProperties: 1 },
)

/** Nothing can be chosen yet. */
const RotateSecretRequest = Type.Object({}, { title: 'RotateSecretRequest', additionalProperties: false })

const WebhookList = Type.Object({ webhooks: Type.Array(WebhookView) }, { title: 'WebhookList' })

/** `/webhooks`: where a tenant's events are sent. */
export function webhookRoutes(
  api: Api,
  deps: {
    webhooks: WebhookStore
    createWebhook: CreateWebhook
    findWebhook: FindWebhook
    webhookUrlProblem: WebhookUrlCheck
  },
): void {
  const { webhooks, createWebhook, findWebhook, webhookUrlProblem } = deps
  const config = { scope: 'tenant' } as const

  api.post(
    '/webhooks',
    { config, schema: { body: CreateWebhookRequest, response: { 201: WebhookWithSecret } } },
    async (request, reply) => {
      checkUrl(request.body.url)
      const webhook = await createWebhook(tenantOf(request), request.body)
      reply.code(201).header('location', `/webhooks/${webhook.id}`)
      return viewWithSecret(webhook)
    },
  )

  api.get('/webhooks', { config, schema: { response: { 200: WebhookList } } }, async (request) => {
    const list = await webhooks.list(tenantKey(tenantOf(request)))
    return { webhooks: list.map(viewWebhook) }
  })

  api.get(
    '/webhooks/:id',
    { config, schema: { params: WebhookParams, response: { 200: WebhookView } } },
    async (request) => viewWebhook(await findWebhook(request, request.params.id)),
  )

  api.patch(
    '/webhooks/:id',
    { config, schema: { params: WebhookParams, body: ChangeWebhookRequest, response: { 200: WebhookView } } },
    async (request) => {
      const { body, params } = request
      if (body.url !== undefined) checkUrl(body.url)
      return viewWebhook(
        await update(request, params.id, ({ disabledReason, ...current }) => ({
          ...current,
          // Whoever sets `enabled` has decided about the reason.
          ...(disabledReason !== undefined && body.enabled === undefined && { disabledReason }),
          ...body,
        })),
      )
    },
  )

  api.post(
    '/webhooks/:id/rotate-secret',
    {
      config,
      schema: { params: WebhookParams, body: RotateSecretRequest, response: { 200: WebhookWithSecret } },
      preValidation: async (request) => {
        request.body ??= {}
      },
    },
    async (request) => {
      const secret = newWebhookSecret()
      return viewWithSecret(
        await update(request, request.params.id, (current, now) => ({
          ...current,
          secrets: rotateSecrets(current.secrets, secret, now),
        })),
      )
    },
  )

  api.delete('/webhooks/:id', { config, schema: { params: WebhookParams } }, async (request, reply) => {
    const { tenant, id } = webhookAddress(request, request.params.id)
    if (!(await webhooks.remove(tenant, id))) throw new AppError('webhook_not_found')
    return reply.code(204).send()
  })

  /** @throws AppError `webhook_url_refused`, without the URL, which may contain a secret */
  function checkUrl(text: string): void {
    const message = webhookUrlProblem(text)
    if (message === undefined) return
    throw new AppError('webhook_url_refused', {
      message: `url ${message}.`,
      fields: [{ field: 'url', message }],
    })
  }

  /** @throws AppError `webhook_not_found`, `conflict` */
  async function update(
    request: FastifyRequest,
    webhookId: string,
    change: (current: Webhook, now: Date) => Webhook,
  ): Promise<Webhook> {
    const { tenant, id } = webhookAddress(request, webhookId)
    const now = new Date()
    const changed = await webhooks.update(tenant, id, (current) => ({
      ...change(current, now),
      updatedAt: now.toISOString(),
    }))
    if (!changed) throw new AppError('webhook_not_found')
    return changed
  }
}
