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
          signedIn: { user: 'user_42', until: '2026-11-20T09:00:00.000Z' },
          servedBy: 'api-1',
        },
      },
    },
    errors: ['dependency_unavailable'],
  },
  'PUT /session': {
    operationId: 'putSession',
    summary: 'Sign the session in, or label it',
    description:
      "With `Authorization`: signs the session in as the user of an upload token or of a JWT of the app's identity provider, or as the user that an API key with the scope `act-as` names in `Millrace-User`. Until the session or the credential ends, requests with the cookie then act for that user, with the scopes `uploads:read` and `uploads:write` at most. Afterwards they get 401 until the session is signed in again or ended. A session begins anew unless the same user was signed in: uploads of an anonymous session stay with it.\n\nWithout `Authorization`: sets the label that `GET /session` returns as `user`. The label proves no identity.",
    tag: 'session',
    security: securityRequirements.readOrNewSession,
    body: { user: 'ada' },
    bodyOptional: true,
    responses: { 204: { description: 'The session is signed in, or has the label.', headers: cookie } },
    errors: ['too_many_sessions', 'dependency_unavailable'],
  },
  'DELETE /session': {
    operationId: 'endSession',
    summary: 'End the session',
    description:
      "Copies of the session's cookie become invalid. The session's uploads are kept, but no client can access them. Uploads of the user that it was signed in as stay with the user.",
    tag: 'session',
    security: securityRequirements.writeOrNewSession,
    responses: {
      204: { description: 'The session has ended.', headers: { 'set-cookie': 'deletes the cookie' } },
    },
    errors: ['too_many_sessions', 'dependency_unavailable'],
  },
}
