import { type Operations, securityRequirements } from './operation.ts'
import { sampleId } from './sample-upload.ts'

const shared = { tag: 'operation', security: securityRequirements.admin } as const

export const deadLetterOperations: Operations = {
  'GET /admin/dead-letters': {
    operationId: 'listDeadLetters',
    summary: 'List events that no worker could handle',
    description:
      "S3's events that were received too often without being handled: SQS has moved them to the dead-letter queue. " +
      'SQS has no pages: each request returns some messages, and all of them if there are no more than `limit`. ' +
      '`state` is that of the upload, if Redis has its record: events of finished uploads change nothing.',
    ...shared,
    parameters: { limit: 50 },
    responses: {
      200: {
        description: 'How many there are, and some of them.',
        example: {
          count: 1,
          hidden: 0,
          messages: [
            {
              id: '5fea7756-0ea4-451a-a703-a558b933e274',
              sentAt: '2026-11-25T12:00:00.000Z',
              receivedCount: 61,
              objects: [
                {
                  key: `originals/acme/${sampleId}`,
                  kind: 'original',
                  owner: 'acme',
                  uploadId: sampleId,
                  state: 'received',
                },
              ],
              reason: { code: 'TypeError', at: '2026-11-25T13:01:12.000Z' },
            },
          ],
        },
      },
    },
    errors: ['cross_site', 'not_configured', 'dependency_unavailable'],
  },
  'POST /admin/dead-letters/redrive': {
    operationId: 'redriveDeadLetters',
    summary: 'Let workers try dead letters again',
    description:
      'Sends messages of the dead-letter queue to the events queue, where workers try each for about an hour again. Send ' +
      'the request again while `count` is above 0. A message is sent before it is deleted: an interrupted request loses none.',
    ...shared,
    body: { limit: 100 },
    bodyOptional: true,
    responses: {
      200: { description: 'How many were moved, and are left.', example: { moved: 1, count: 0, hidden: 0 } },
    },
    errors: ['cross_site', 'not_configured', 'dependency_unavailable'],
  },
}
