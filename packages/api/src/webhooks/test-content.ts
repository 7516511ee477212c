import { randomBytes } from 'node:crypto'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import type { WebhookContent } from '@millrace/shared/webhooks/delivery-log.ts'
import type { WebhookEventType, WebhookUpload } from '@millrace/shared/webhooks/webhook-event.ts'

/** Returns an event about an upload that does not exist, with `test: true`. */
export function testContent(type: WebhookEventType): WebhookContent {
  const timestamp = new Date().toISOString()
  return {
    id: `evt_${randomBytes(16).toString('hex')}`,
    type,
    timestamp,
    test: true,
    data: sampleUpload(type, newUploadId(), timestamp),
  }
}

function sampleUpload(type: WebhookEventType, id: string, now: string): WebhookUpload {
  const user = 'user-42'
  if (type === 'upload.deleted') return { id, user, state: 'deleted' }
  const declared = {
    id,
    user,
    filename: 'harbour.jpg',
    contentType: 'image/jpeg',
    size: 4_182_311,
    preset: 'default',
    metadata: { album: 'summer' },
    createdAt: now,
    updatedAt: now,
  }
  if (type === 'upload.received') return { ...declared, state: 'received', findings: {}, variants: [] }
  const findings = { detectedType: 'image/jpeg', width: 4032, height: 3024 }
  if (type === 'upload.ready') {
    const thumbnail = { name: 'thumb', contentType: 'image/webp', width: 256, height: 192, size: 9_210 }
    return { ...declared, state: 'ready', findings, variants: [thumbnail] }
  }
  const error =
    type === 'upload.rejected'
      ? { code: 'image_corrupt', message: 'The image is damaged or incomplete.' }
      : { code: 'processing_failed', message: 'The file could not be processed. Processing can be retried.' }
  return {
    ...declared,
    state: type === 'upload.rejected' ? 'rejected' : 'failed',
    findings: {},
    variants: [],
    error,
  }
}
