import { AppError } from '@millrace/shared/service/app-error.ts'
import { TenantUser, type TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { UserErasure } from '@millrace/shared/tenants/user-erasures.ts'
import { UserId, userOwner, userOwnerPrefix } from '@millrace/shared/uploads/owner.ts'
import { isUploadId } from '@millrace/shared/uploads/upload-id.ts'
import Type, { type Static } from 'typebox'
import type { Api } from '../http/api.ts'
import type { RunUserErasures } from './run-user-erasures.ts'
import { tenantOf } from './tenant-of.ts'
import { UserKey } from './user-key.ts'

export const UserView = Type.Object(
  { user: UserId, createdAt: TenantUser.properties.createdAt },
  { title: 'User' },
)

export const UserPage = Type.Object(
  {
    users: Type.Array(UserView),
    nextCursor: Type.Optional({
      ...UserKey,
      description:
        'cursor of the next page; absent on the last one. A page with it can be shorter than `limit`',
    }),
  },
  { title: 'UserPage' },
)

export const ErasureView = Type.Object(
  {
    id: Type.String(),
    state: Type.Union([Type.Literal('running'), Type.Literal('finished')]),
    uploads: Type.Integer({ description: 'erased uploads; while it runs: found so far' }),
    versions: Type.Integer({ description: 'their objects in S3, with all versions' }),
    bytes: Type.Integer({ description: 'of these' }),
    startedAt: UserErasure.properties.startedAt,
    finishedAt: Type.Optional(
      Type.String({ description: 'ISO 8601; when a listing of the bucket showed nothing of the user' }),
    ),
  },
  { title: 'UserErasure' },
)

/** `/users` and `/erasures`: what the tenant's administrator does with its users. */
export function userRoutes(api: Api, deps: { users: TenantUsers; runUserErasures: RunUserErasures }): void {
  const { users, runUserErasures } = deps
  const config = { scope: 'tenant' } as const

  api.get(
    '/users',
    {
      config,
      schema: {
        querystring: Type.Object({
          cursor: Type.Optional(UserKey),
          limit: Type.Integer({ minimum: 1, maximum: 200, default: 50 }),
        }),
        response: { 200: UserPage },
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const tenant = tenantOf(request)
      const ownersPrefix = userOwnerPrefix(tenant)
      const { cursor, limit } = request.query
      const page = await users.list(tenant, { after: cursor && `${ownersPrefix}${cursor}`, limit })
      return {
        users: page.users.map(({ user, createdAt }) => ({ user, createdAt })),
        ...(page.lastOwner && { nextCursor: page.lastOwner.slice(ownersPrefix.length) }),
      }
    },
  )

  // In the query, because not every id can be part of a path: clients and proxies resolve `..` and `%2F`.
  api.delete(
    '/users',
    {
      config: { ...config, sendsNoFile: true },
      schema: {
        querystring: Type.Object({ user: UserId }),
        response: { 200: ErasureView, 202: ErasureView },
      },
    },
    async (request, reply) => {
      const owner = userOwner(tenantOf(request), request.query.user)
      const erasure = await runUserErasures.erase(owner)
      if (!erasure) throw new AppError('user_not_found')
      const view = viewErasure(erasure)
      reply.code(erasure.finishedAt === undefined ? 202 : 200).header('location', `/erasures/${view.id}`)
      return view
    },
  )

  api.get(
    '/erasures/:id',
    { config, schema: { params: Type.Object({ id: Type.String() }), response: { 200: ErasureView } } },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const [, userKey, id = ''] = /^([0-9a-f]{32})-(.+)$/.exec(request.params.id) ?? []
      const owner = `${userOwnerPrefix(tenantOf(request))}${userKey}`
      const erasure = userKey && isUploadId(id) ? await runUserErasures.find(owner, id) : undefined
      if (!erasure) throw new AppError('erasure_not_found')
      return viewErasure(erasure)
    },
  )
}

/** The id of an erasure names its user's key too, so that it is found without an index. */
function viewErasure(erasure: UserErasure): Static<typeof ErasureView> {
  const { id, owner, uploads, versions, bytes, startedAt, finishedAt } = erasure
  return {
    id: `${owner.slice(-32)}-${id}`,
    state: finishedAt === undefined ? 'running' : 'finished',
    uploads,
    versions,
    bytes,
    startedAt,
    ...(finishedAt !== undefined && { finishedAt }),
  }
}
