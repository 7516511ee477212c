import { type Operations, securityRequirements } from './operation.ts'

const sampleTokenId =
  '1795867200-8f434346648f6b96-5d41402abc4b2a76b9719d911017c592-3c6e0b8a9c15224a-a1d0c6e83f027327'

export const tokenOperations: Operations = {
  'POST /tokens': {
    operationId: 'makeToken',
    summary: "Make an upload token for a user's browser",
    description:
      'The token is a signed JWT, which the browser sends as `Authorization: Bearer`, also with tus and Uppy. Its uploads ' +
      'belong to the user: another token of the same user finds them, and no other user does. It ends by itself after ' +
      '`expiresIn` seconds, and also if the API key that made it is gone.\n\n' +
      'Limits apply to every way to send a file. A file over `maxFileBytes` is 413 `upload_too_large`. A preset that is not ' +
      'in `presets`, or a declared type that is not in `accept`, is 403 `token_limit`; the type is detected from the bytes ' +
      'as well, and a file of another type ends `rejected`. After `maxFiles` files, or `maxBytes` bytes, it is 429 ' +
      '`token_used_up`. A file counts from its announcement, and for good once it has arrived; if it never arrives, until ' +
      'it expires or is erased. An import with `maxBytes` must declare its size.\n\n' +
      '`metadata` is set on each upload. It wins over metadata of the same name that the bearer sends.',
    tag: 'tenant',
    security: securityRequirements.tokens,
    body: {
      user: 'ada',
      expiresIn: 3600,
      scopes: ['uploads:read', 'uploads:write'],
      maxFileBytes: 10_485_760,
      maxFiles: 20,
      accept: ['image/*'],
      presets: ['default'],
      metadata: { album: 'summer' },
    },
    responses: {
      201: {
        description: 'The token. It is not stored, so it is returned only once.',
        example: {
          token: 'eyJhbGciOiJIUzI1NiIsInR5cCI6Im1pbGxyYWNlLXVwbG9hZCtqd3QifQ.eyJzdWIiOiJhZGEifQ.c2lnbmF0dXJl',
          id: sampleTokenId,
          expiresAt: '2026-11-27T13:00:00.000Z',
        },
      },
    },
    errors: ['preset_unknown', 'dependency_unavailable'],
  },
  'DELETE /tokens/:id': {
    operationId: 'revokeToken',
    summary: 'Revoke an upload token',
    description:
      'All instances refuse the token within seconds, and end the event streams that it opened. URLs of S3 that it got ' +
      'stay valid until they expire. A token that has ended or was revoked can be revoked again. The id of another ' +
      "tenant's token is not found.",
    tag: 'tenant',
    security: securityRequirements.tokens,
    parameters: { id: sampleTokenId },
    responses: { 204: { description: 'The token is revoked, or has ended.' } },
    errors: ['token_not_found', 'dependency_unavailable'],
  },
}
