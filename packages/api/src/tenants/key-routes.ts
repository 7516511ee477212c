import { AppError } from '@millrace/shared/service/app-error.ts'
import { ApiKeyId, type KeyStore, type StoredApiKey } from '@millrace/shared/tenants/key-store.ts'
import { TenantName } from '@millrace/shared/uploads/owner.ts'
import type { FastifyRequest } from 'fastify'
import Type, { type Static } from 'typebox'
import { type Caller, hasScope, Scope } from '../credentials/caller.ts'
import type { KeyUses } from '../credentials/key-uses.ts'
import type { StoredKeys } from '../credentials/stored-keys.ts'
import type { Api } from '../http/api.ts'

/** In seconds: 10 years. */
const maxExpiresIn = 10 * 365 * 24 * 60 * 60

const Tenant = Type.Optional(
  Type.String({
    ...TenantName,
    description: "another tenant than the caller's own; needs the scope `admin`",
  }),
)

const KeyRequest = Type.Object(
  {
    scopes: Type.Array(Scope, {
      minItems: 1,
      maxItems: Scope.anyOf.length,
      uniqueItems: true,
      description: 'what the key may do; only scopes that the caller has',
    }),
    description: Type.Optional(Type.String({ maxLength: 256, description: 'what the key is for' })),
    expiresIn: Type.Optional(
      Type.Integer({ minimum: 1, maximum: maxExpiresIn, description: 'seconds; absent: it never expires' }),
    ),
    tenant: Tenant,
  },
  { title: 'ApiKeyRequest', additionalProperties: false },
)

export const KeyView = Type.Object(
  {
    id: ApiKeyId,
    tenant: Type.String(),
    scopes: Type.Array(Type.String()),
    description: Type.String(),
    createdAt: Type.String({ description: 'ISO 8601' }),
    createdBy: Type.String({
      description: 'id of the credential that created it, or `command` for `npm run api-key`',
    }),
    expiresAt: Type.Optional(Type.String({ description: 'ISO 8601; absent: it never expires' })),
    lastUsedAt: Type.Optional(
      Type.Union([Type.String(), Type.Null()], {
        description:
          'ISO 8601, to the hour; null: not used in the last 90 days, as far as Redis knows; absent: not known at the moment',
      }),
    ),
  },
  { title: 'ApiKey' },
)

export const CreatedKey = Type.Object(
  {
    key: Type.String({ description: 'the key itself, which is shown only now' }),
    ...KeyView.properties,
  },
  { title: 'CreatedApiKey' },
)

const KeyQuery = Type.Object({ tenant: Tenant }, { additionalProperties: false })

const Page = Type.Object(
  {
    tenant: Tenant,
    cursor: Type.Optional(ApiKeyId),
    limit: Type.Integer({ minimum: 1, maximum: 100, default: 100 }),
  },
  { additionalProperties: false },
)

export const KeyPage = Type.Object(
  {
    keys: Type.Array(KeyView),
    nextCursor: Type.Optional({
      ...ApiKeyId,
      description: 'cursor of the next page; absent on the last one',
    }),
  },
  { title: 'ApiKeyPage' },
)

/** `/keys`: creates, lists and revokes the API keys of a tenant. Those of `API_KEYS` are not among them. */
export function keyRoutes(
  api: Api,
  deps: {
    keyStore: Pick<KeyStore, 'list'>
    keyUses: Pick<KeyUses, 'find'>
    storedKeys: Pick<StoredKeys, 'create' | 'revoke'>
  },
): void {
  const { keyStore, keyUses, storedKeys } = deps
  const config = { scope: 'tenant' } as const

  api.post(
    '/keys',
    { config, schema: { body: KeyRequest, response: { 201: CreatedKey } } },
    async (request, reply) => {
      const { scopes, description = '', expiresIn } = request.body
      const caller = callerOf(request)
      const tenant = tenantOf(caller, request.body.tenant)
      const missing = scopes.find((scope) => !hasScope(caller, scope))
      if (missing) {
        throw new AppError('forbidden', {
          message: `A key cannot have the scope ${missing}, which its creator does not have.`,
        })
      }
      const { key, stored } = await storedKeys.create({
        tenant,
        scopes,
        description,
        createdBy: caller.id,
        expiresAtMs: expiresIn === undefined ? undefined : Date.now() + expiresIn * 1000,
      })
      request.log.info(
        { event: 'api-key-created', keyId: stored.id, tenant, by: caller.id },
        'API key created',
      )
      reply.code(201).header('cache-control', 'no-store')
      return { key, ...viewKey(stored, null) }
    },
  )

  api.get(
    '/keys',
    { config, schema: { querystring: Page, response: { 200: KeyPage } } },
    async (request, reply) => {
      const { cursor, limit } = request.query
      const tenant = tenantOf(callerOf(request), request.query.tenant)
      const { keys, ...next } = await keyStore.list(tenant, { after: cursor, limit })
      const uses = await keyUses.find(keys.map(({ id }) => id))
      reply.header('cache-control', 'no-store')
      return { keys: keys.map((key) => viewKey(key, uses?.get(key.id))), ...next }
    },
  )

  api.delete(
    '/keys/:id',
    { config, schema: { params: Type.Object({ id: Type.String() }), querystring: KeyQuery } },
    async (request, reply) => {
      const caller = callerOf(request)
      const tenant = tenantOf(caller, request.query.tenant)
      const { id } = request.params
      if (!(await storedKeys.revoke(tenant, id))) throw new AppError('key_not_found')
      request.log.info({ event: 'api-key-revoked', keyId: id, tenant, by: caller.id }, 'API key revoked')
      return reply.code(204).send()
    },
  )
}

/** @throws AppError `unauthenticated` */
function callerOf({ caller }: FastifyRequest): Caller {
  // `authorize` has refused the request already, unless a route's scope is wrong.
  if (!caller) throw new AppError('unauthenticated')
  return caller
}

/** Returns the tenant whose keys a request is about. @throws AppError `forbidden` */
function tenantOf(caller: Caller, named: string | undefined): string {
  if (named === undefined || named === caller.tenant) return caller.tenant
  if (hasScope(caller, 'admin')) return named
  throw new AppError('forbidden', { message: 'Only the scope admin may name another tenant.' })
}

function viewKey(stored: StoredApiKey, lastUsedAt: string | null | undefined): Static<typeof KeyView> {
  const { id, tenant, scopes, description, createdAt, createdBy, expiresAt } = stored
  return {
    id,
    tenant,
    scopes,
    description,
    createdAt,
    createdBy,
    ...(expiresAt !== undefined && { expiresAt }),
    ...(lastUsedAt !== undefined && { lastUsedAt }),
  }
}
