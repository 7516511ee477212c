import type { S3Client } from '@aws-sdk/client-s3'
import { createTenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { createOutbox, type Outbox } from '@millrace/shared/webhooks/outbox.ts'
import type { Webhook } from '@millrace/shared/webhooks/webhook.ts'
import type { WebhookEvent } from '@millrace/shared/webhooks/webhook-event.ts'
import { createWebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'

/** Returns a webhook for all events, or as given. @param id up to 24 hex digits */
export function webhookOf(tenant: string, id: string, fields: Partial<Webhook> = {}): Webhook {
  const now = new Date().toISOString()
  return {
    version: 1,
    id: `wh_${id.padStart(24, '0')}`,
    tenant,
    url: 'https://app.example/hooks',
    events: ['upload.received', 'upload.ready', 'upload.rejected', 'upload.failed', 'upload.deleted'],
    description: '',
    enabled: true,
    secrets: [{ secret: 'whsec_c2VjcmV0', createdAt: now }],
    createdAt: now,
    updatedAt: now,
    ...fields,
  }
}

/** The webhooks, users and outbox of a bucket, as another instance than the tested one sees them. */
export function openOutbox({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const webhooks = createWebhookStore({ s3, bucket })
  const tenantUsers = createTenantUsers({ s3, bucket })
  const outbox = createOutbox({ s3, bucket, webhooks, tenantUsers })
  return { webhooks, tenantUsers, outbox }
}

/** Reads all events of an outbox, each upload's in their order. */
export async function eventsIn(outbox: Outbox): Promise<WebhookEvent[]> {
  const { entries } = await outbox.list()
  const uploads = new Map(entries.map(({ key }) => [key.split('/').slice(1, 3).join('/'), key]))
  const events = await Promise.all(
    [...uploads.keys()].map((path) => {
      const [tenantKey = '', uploadId = ''] = path.split('/')
      return outbox.listOfUpload(tenantKey, uploadId)
    }),
  )
  return events.flat()
}
