import { type Operations, securityRequirements } from './operation.ts'

const id = 'key-0199c3a27d6f7b2e8d4f9a1c3e5b7d90'
const key = {
  id,
  tenant: 'acme',
  scopes: ['uploads:read', 'act-as'],
  description: 'the shop',
  createdAt: '2026-11-27T12:00:00.000Z',
  createdBy: 'key-9f86d081884c7d659a2feaa0c55ad015',
  lastUsedAt: '2026-11-27T15:00:00.000Z',
}
const common = { tag: 'tenant', security: securityRequirements.tenant } as const

export const keyOperations: Operations = {
  'POST /keys': {
    ...common,
    operationId: 'createApiKey',
    summary: 'Create an API key of the tenant',
    description:
      'The response shows the key, which is stored nowhere. A key can only have scopes that its creator has. The scope ' +
      '`admin` may name another tenant. All instances accept the key within seconds. It stays valid if its creator is ' +
      'revoked. A tenant may have 100 keys.',
    body: { scopes: ['uploads:read', 'act-as'], description: 'the shop', expiresIn: 31_536_000 },
    responses: {
      201: {
        description: 'The key.',
        example: {
          key: 'mr_3q2-7wAAB1cVdOqMZx0sN5hYkP8uT6rEiLgWjHbC_fA',
          ...key,
          expiresAt: '2027-11-27T12:00:00.000Z',
          lastUsedAt: null,
        },
      },
    },
    errors: ['too_many_keys', 'dependency_unavailable'],
  },
  'GET /keys': {
    ...common,
    operationId: 'listApiKeys',
    summary: 'List the API keys of the tenant, oldest first',
    description:
      'Keys in the setting `API_KEYS` are not listed. Expired keys are listed until a new key needs their room.',
    parameters: { tenant: 'acme', cursor: id, limit: 100 },
    responses: { 200: { description: 'One page of keys.', example: { keys: [key], nextCursor: id } } },
    errors: ['dependency_unavailable'],
  },
  'DELETE /keys/:id': {
    ...common,
    operationId: 'revokeApiKey',
    summary: 'Revoke an API key of the tenant',
    description:
      'The instance that responds refuses the key at once, the others within seconds, and event streams that were opened ' +
      'with it end. Keys that it created stay valid.',
    parameters: { id, tenant: 'acme' },
    responses: { 204: { description: 'The key is revoked.' } },
    errors: ['key_not_found', 'dependency_unavailable'],
  },
}
