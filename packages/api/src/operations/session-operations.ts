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
          signInEnded: false,
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
  'PUT /session/key': {
    operationId: 'signInWithKey',
    summary: 'Sign the session in as an API key',
    description:
      "Until `DELETE /session/key`, `DELETE /session`, or the end of the session or of the key, requests with the cookie act as the key: for its tenant, with all its scopes. It is for an operator's browser; only pages of the API itself may use such a session, and no origin of `ALLOWED_ORIGINS`. Neither the cookie nor Redis has the key, only its id. Each sign-in begins another session. When the key has ended, requests get 401 `token_revoked` until the session is signed in again or out.",
    tag: 'session',
    security: securityRequirements.readOrNewSession,
    body: { key: 'mr_3vY0Qn2b8mWcU1kTzJr5xP7sLdFhGaE9oNiRqXyVwKt' },
    responses: {
      200: {
        description: 'The session, which is signed in.',
        headers: cookie,
        example: {
          views: 0,
          user: null,
          createdAt: '2026-11-20T08:00:00.000Z',
          expiresAt: '2026-12-20T08:00:00.000Z',
          signedIn: {
            keyId: 'key-01890a5d0c8b7c3e9f2a4b6c8d0e1f23',
            tenant: 'acme',
            scopes: ['uploads:read', 'uploads:write', 'tenant'],
            until: '2026-12-20T08:00:00.000Z',
          },
          signInEnded: false,
          servedBy: 'api-1',
        },
      },
    },
    errors: ['dependency_unavailable'],
  },
  'DELETE /session/key': {
    operationId: 'signOutOfKey',
    summary: 'Sign out of an API key',
    description:
      'Ends the session that an API key signed in, with its event streams on all instances. The browser continues in the anonymous session that it had before, if it had one. Does nothing in a session that no API key has signed in.',
    tag: 'session',
    security: securityRequirements.readOrNewSession,
    responses: {
      204: {
        description: 'The session is not signed in with an API key.',
        headers: { 'set-cookie': 'the sealed cookie of the session before, or deletes the cookie' },
      },
    },
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
