import createFetchClient from 'openapi-fetch'
import type { components, paths } from '../api/api-types.ts'
import type { Fetch } from '../api/authorized-fetch.ts'
import { dataOf } from '../api/millrace-error.ts'

type EventType = components['schemas']['WebhookEventType']

/** The events for which `createUploads` has callbacks. */
const callbackEvents: readonly EventType[] = [
  'upload.ready',
  'upload.rejected',
  'upload.failed',
  'upload.deleted',
]

/**
 * Registers the webhook of a `createUploads` handler at Millrace, unless it is registered. For a script that a deploy runs;
 * two at the same time could register it twice.
 *
 * @param options.origin Millrace's API
 * @param options.apiKey an API key with the scope `tenant`
 * @param options.url where Millrace reaches the handler
 * @returns the webhook's id, and its secret if it is new. Keep the secret as `webhookSecret`: it is not shown again
 * @throws ApiProblem
 */
export async function ensureWebhook(options: {
  origin: string
  apiKey: string
  url: string
  fetch?: Fetch
}): Promise<{ id: string; secret: string | undefined }> {
  const { origin, apiKey, fetch } = options
  // As Millrace keeps it.
  const url = new URL(options.url).href
  const api = createFetchClient<paths>({
    baseUrl: origin,
    headers: { authorization: `Bearer ${apiKey}` },
    ...(fetch && { fetch }),
  })
  const { webhooks } = dataOf(await api.GET('/webhooks'))
  const known = webhooks.find((webhook) => new URL(webhook.url).href === url)
  if (!known) {
    const { id, secret } = dataOf(await api.POST('/webhooks', { body: { url, events: [...callbackEvents] } }))
    return { id, secret }
  }
  const { id, enabled } = known
  const events = [...new Set([...known.events, ...callbackEvents])]
  if (!enabled || events.length > known.events.length) {
    dataOf(await api.PATCH('/webhooks/{id}', { params: { path: { id } }, body: { events, enabled: true } }))
  }
  return { id, secret: undefined }
}
