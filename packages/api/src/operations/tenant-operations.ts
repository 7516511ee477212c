import { type Operations, securityRequirements } from './operation.ts'

const administered = { tag: 'tenant', security: securityRequirements.tenant } as const
const erasureId = '5a1f0c9e2b7d4a6f8c3e1d2b9a7f6e05-019aa1f0-5c1e-7cc3-98a1-2f6b0d9e4a57'
const finished = {
  id: erasureId,
  state: 'finished',
  uploads: 214,
  versions: 1498,
  bytes: 918_240_112,
  startedAt: '2026-11-23T10:00:00.000Z',
  finishedAt: '2026-11-23T10:00:09.000Z',
}
const { finishedAt: _, ...begun } = finished
const ofDay = { day: '2026-11-23', files: 12, bytes: 48_210_004 }
const running = { ...begun, state: 'running' }

export const tenantOperations: Operations = {
  'GET /users': {
    ...administered,
    operationId: 'listUsers',
    summary: "List the tenant's users",
    description:
      'All users that ever sent a file and were not erased, in no particular order. A user is known from its first ' +
      'upload on: there is nothing to create. The next page begins after `nextCursor`.',
    parameters: { cursor: '5a1f0c9e2b7d4a6f8c3e1d2b9a7f6e05', limit: 50 },
    responses: {
      200: {
        description: 'One page of users.',
        example: { users: [{ user: 'auth0|5f7c8ec7', createdAt: '2026-11-20T08:00:00.000Z' }] },
      },
    },
    errors: ['dependency_unavailable'],
  },
  'DELETE /users': {
    ...administered,
    operationId: 'eraseUser',
    summary: 'Erase a user and all of its files',
    description:
      'Erases all uploads of the user as `DELETE /uploads/{id}` does, then what Millrace knows of the user. The receipt ' +
      "tells how much was erased. It does not contain the user's id. An erasure that takes longer than some seconds runs " +
      'on: the response is 202, and `GET /erasures/{id}` tells how far it is. It survives the end of the instance. The ' +
      'request is idempotent: repeated, it continues, or returns the last receipt. A user that uploads again is a new one.',
    parameters: { user: 'auth0|5f7c8ec7' },
    responses: {
      200: {
        description: 'The receipt: nothing of the user is left.',
        example: finished,
        headers: { location: 'path of the receipt' },
      },
      202: {
        description: 'The erasure is running.',
        example: running,
        headers: { location: 'path of the erasure' },
      },
    },
    errors: ['user_not_found', 'conflict', 'dependency_unavailable'],
  },
  'GET /erasures/:id': {
    ...administered,
    operationId: 'getErasure',
    summary: 'Read the erasure of a user',
    description: 'The receipt, once it is `finished`. Receipts are kept.',
    parameters: { id: erasureId },
    responses: { 200: { description: 'The erasure.', example: finished } },
    errors: ['erasure_not_found', 'dependency_unavailable'],
  },
  'GET /usage': {
    ...administered,
    operationId: 'getUsage',
    summary: 'Read how many files and bytes the tenant and its users have',
    description:
      'Counts originals in S3, by user, in all, and by the day on which they were announced (UTC). Variants, rejected and ' +
      'erased files do not count. The count is made when it is asked for, and again when it is older than a minute and ' +
      'than 20 times its duration: `asOf` tells when it began. It takes one request to S3 for each thousand files, some ' +
      '0.1 s. The first one of a tenant with many files is not there at once: the response is 202 until it is.\n\n' +
      'Users come in pages, in no particular order; each page has the totals of the tenant. With `user`, only this user.',
    parameters: { user: 'auth0|5f7c8ec7', cursor: '5a1f0c9e2b7d4a6f8c3e1d2b9a7f6e05' },
    responses: {
      200: {
        description: 'The usage.',
        example: {
          asOf: '2026-11-23T10:00:00.000Z',
          files: 5210,
          bytes: 20_918_240_112,
          days: [ofDay],
          quota: { bytesTotal: 1_000_000_000, filesPerDay: 500 },
          users: [{ user: 'auth0|5f7c8ec7', files: 12, bytes: 48_210_004, days: [ofDay] }],
        },
      },
      202: {
        description: 'The first count is being made.',
        example: { state: 'counting' },
        headers: { 'retry-after': 'seconds' },
      },
    },
    errors: ['conflict', 'dependency_unavailable'],
  },
}
