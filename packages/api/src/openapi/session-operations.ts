import { type Operations, securityRequirements } from './operation.ts'

const cookie = { 'set-cookie': 'the sealed cookie, if the session is new or its cookie is renewed' }

export const sessionOperations: Operations = {
  'GET /session': {
    operationId: 'getSession',
    summary: 'Load the session or start a new one',
    description: 'Adds one to `views`. All instances share the session.',
    tag: 'session',
    security: securityRequirements.writeOrNewSession,
    responses: {
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
    description: '`GET /session` returns the label as `user`. The label proves no identity.',
    tag: 'session',
    security: securityRequirements.writeOrNewSession,
    body: { user: 'ada' },
    responses: { 204: { description: 'The session has the label.', headers: cookie } },
    errors: ['too_many_sessions', 'dependency_unavailable'],
  },
  'DELETE /session': {
    operationId: 'endSession',
    summary: 'End the session',
    description:
      "Copies of the session's cookie become invalid. The session's uploads are kept, but no client can access them.",
    tag: 'session',
    security: securityRequirements.writeOrNewSession,
    responses: {
      204: { description: 'The session has ended.', headers: { 'set-cookie': 'deletes the cookie' } },
    },
    errors: ['too_many_sessions', 'dependency_unavailable'],
  },
}
