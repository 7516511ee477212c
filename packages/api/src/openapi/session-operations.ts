import { access, type Operations } from './operation.ts'

const cookie = { 'set-cookie': 'the sealed cookie, where the session is new or was sealed long ago' }

export const sessionOperations: Operations = {
  'GET /session': {
    operationId: 'getSession',
    summary: 'Load the session, or start one',
    description: 'Adds one to `views`. All instances share the session, whichever is asked.',
    tag: 'session',
    security: access.start,
    answers: {
      200: {
        description: 'The session.',
        headers: cookie,
        example: {
          views: 3,
          user: 'ada',
          createdAt: '2026-11-20T08:00:00.000Z',
          expiresAt: '2026-12-20T08:00:00.000Z',
          servedBy: 'api-1',
        },
      },
    },
    errors: ['dependency_unavailable'],
  },
  'PUT /session': {
    operationId: 'labelSession',
    summary: 'Label the session',
    description: 'The label is shown as `user`. It is a note, no proof of who somebody is.',
    tag: 'session',
    security: access.start,
    body: { user: 'ada' },
    answers: { 204: { description: 'The session has the label.', headers: cookie } },
    errors: ['dependency_unavailable'],
  },
  'DELETE /session': {
    operationId: 'endSession',
    summary: 'End the session',
    description:
      'A copy of its cookie opens nothing from now on. Uploads stay, without anybody who could see them.',
    tag: 'session',
    security: access.start,
    answers: {
      204: { description: 'The session has ended.', headers: { 'set-cookie': 'takes the cookie away' } },
    },
    errors: ['dependency_unavailable'],
  },
}
