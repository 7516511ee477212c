import type { components } from '@millrace/client'
import { Badge } from '../../design/badge.tsx'

export type Webhook = components['schemas']['Webhook']

/** Whether a webhook gets events. */
export function WebhookState({ webhook }: { webhook: Webhook }) {
  if (webhook.enabled) return <Badge text="Enabled" tone="good" />
  return <Badge text={webhook.disabledReason ? 'Disabled by Millrace' : 'Disabled'} tone="warn" />
}

/** The type of an event without what all of them have in common: `upload.ready` → `ready`. */
export function shortType(type: string): string {
  return type.replace(/^upload\./, '')
}
