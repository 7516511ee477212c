import { WebhookContent } from '@millrace/shared/webhooks/webhook-content.ts'
import { sampleId } from '../operations/sample-upload.ts'

const at = '2026-11-23T09:30:03.000Z'
const id = 'evt_8f14e45fceea167a5a36dedd4bea2543'
const upload = {
  id: sampleId,
  user: 'user-17',
  filename: 'harbour.jpg',
  contentType: 'image/jpeg',
  size: 4_182_311,
  preset: 'default',
  metadata: { album: 'summer' },
  createdAt: '2026-11-23T09:30:00.000Z',
  updatedAt: at,
}
const ready = {
  id,
  type: 'upload.ready',
  timestamp: at,
  data: {
    ...upload,
    state: 'ready',
    findings: { detectedType: 'image/jpeg', width: 4032, height: 3024 },
    variants: [{ name: 'thumbnail', contentType: 'image/jpeg', width: 200, height: 200, size: 9_120 }],
  },
}
const rejected = {
  id,
  type: 'upload.rejected',
  timestamp: at,
  data: {
    ...upload,
    state: 'rejected',
    findings: { detectedType: 'application/zip' },
    variants: [],
    error: { code: 'type_not_allowed', message: 'The preset does not accept this file type.' },
  },
}
const deleted = {
  id,
  type: 'upload.deleted',
  timestamp: at,
  data: { id: sampleId, user: 'user-17', state: 'deleted' },
}

/** The headers of Standard Webhooks. */
const headers = {
  'webhook-id': { description: 'the id of the event: the same whenever it is sent again', example: id },
  'webhook-timestamp': { description: 'when it was sent, in seconds since 1970', example: '1763890203' },
  'webhook-signature': {
    description: 'one signature for each valid secret, separated by spaces',
    example: 'v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=',
  },
}

/** The requests that webhooks get, in the form of OpenAPI's `webhooks`. */
export const webhookRequests = {
  upload: {
    post: {
      operationId: 'receiveUploadEvent',
      summary: 'Receive an event about an upload',
      description:
        'Sent to each webhook that wants events of its type, at least once. Verify the signature with a library of Standard Webhooks, and skip an event whose id you have seen. Events of one upload are sent in order. Any status but 2xx is tried again for a day; 410 disables the webhook.',
      tags: ['tenant'],
      security: [],
      parameters: Object.entries(headers).map(([name, header]) => ({
        name,
        in: 'header',
        required: true,
        schema: { type: 'string' },
        ...header,
      })),
      requestBody: {
        required: true,
        content: {
          'application/json': {
            schema: WebhookContent,
            examples: {
              ready: { value: ready },
              rejected: { value: rejected },
              deleted: { value: deleted },
            },
          },
        },
      },
      responses: {
        200: { description: 'Any status from 200 to 299: the event was received. The body is ignored.' },
        410: { description: 'The receiver wants no more events: the webhook is disabled.' },
      },
    },
  },
}
