import type { QuotaLimits } from '@millrace/shared/quotas/quota-reservations.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import type { TenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { tenantKey, UserId, userOwner, userOwnerPrefix } from '@millrace/shared/uploads/owner.ts'
import Type, { type Static } from 'typebox'
import type { Api } from '../http/api.ts'
import type { CountUsage } from './count-usage.ts'
import { tenantOf } from './tenant-of.ts'
import { Usage, type UsageCount, type UsageCounts, type UsageOfOwner } from './usage-counts.ts'
import { UserKey } from './user-key.ts'

const UserUsage = Type.Object(
  {
    user: Type.Optional({
      ...UserId,
      description: "absent: the tenant's own files, or those of a user that was erased since",
    }),
    ...Usage.properties,
  },
  { title: 'UserUsage' },
)

const Limit = Type.Optional(Type.Integer({ minimum: 0 }))

/** The limits of each owner: the tenant itself, and each of its users. */
const QuotaView = Type.Object(
  { bytesTotal: Limit, filesTotal: Limit, bytesPerDay: Limit, filesPerDay: Limit },
  { title: 'Quota', description: 'the limits of each user, and of the tenant itself; absent: no limit' },
)

export const UsageView = Type.Object(
  {
    asOf: Type.String({ description: 'ISO 8601: when the count began' }),
    ...Usage.properties,
    quota: QuotaView,
    users: Type.Array(UserUsage),
    nextCursor: Type.Optional({ ...UserKey, description: 'cursor of the next page; absent on the last one' }),
  },
  { title: 'Usage' },
)

const CountingView = Type.Object({ state: Type.Literal('counting') }, { title: 'UsageCounting' })

/** When a client may ask for the first count again, in seconds. */
const retryAfterSeconds = 10
/** How often a page is looked for, while later counts replace the one that it belongs to. */
const attempts = 3

/** `/usage`: how many files and bytes a tenant and its users have. */
export function usageRoutes(
  api: Api,
  deps: {
    users: Pick<TenantUsers, 'find'>
    countUsage: CountUsage
    usageCounts: UsageCounts
    quota: QuotaLimits
  },
): void {
  const { users, countUsage, usageCounts } = deps
  const quota = Object.fromEntries(Object.entries(deps.quota).filter(([, limit]) => limit !== undefined))

  api.get(
    '/usage',
    {
      config: { scope: 'tenant' },
      schema: {
        querystring: Type.Object({ user: Type.Optional(UserId), cursor: Type.Optional(UserKey) }),
        response: { 200: UsageView, 202: CountingView },
      },
    },
    async (request, reply) => {
      reply.header('cache-control', 'no-store')
      const tenant = tenantOf(request)
      const { user, cursor } = request.query
      for (let attempt = 0; attempt < attempts; attempt++) {
        const count = await countUsage(tenant)
        if (!count)
          return reply.code(202).header('retry-after', retryAfterSeconds).send({ state: 'counting' })
        const view =
          user === undefined ? await viewPage(tenant, count, cursor) : await viewUser(tenant, count, user)
        if (view) return view
      }
      throw new AppError('conflict', { message: 'The usage is being counted again.' })
    },
  )

  function viewTotals({ asOf, files, bytes, days }: UsageCount) {
    return { asOf, files, bytes, days, quota }
  }

  /** @returns undefined if a later count has replaced this one */
  async function viewPage(
    tenant: string,
    count: UsageCount,
    cursor: string | undefined,
  ): Promise<Static<typeof UsageView> | undefined> {
    const ownersPrefix = userOwnerPrefix(tenant)
    const first = `${ownersPrefix}${cursor ?? ''}`
    const number = pageOf(count, first)
    const owners = count.pages.length === 0 ? [] : await usageCounts.page(tenantKey(tenant), count.id, number)
    if (!owners) return undefined
    const next = count.pages[number + 1]
    const listed = owners.filter(({ owner }) => owner >= first)
    return {
      ...viewTotals(count),
      users: [
        ...(count.own && cursor === undefined ? [viewUsage(count.own, undefined)] : []),
        ...(await Promise.all(
          listed.map(async (usage) => viewUsage(usage, (await users.find(usage.owner))?.user)),
        )),
      ],
      ...(next !== undefined && { nextCursor: next.slice(ownersPrefix.length) }),
    }
  }

  /** @returns undefined if a later count has replaced this one */
  async function viewUser(
    tenant: string,
    count: UsageCount,
    user: string,
  ): Promise<Static<typeof UsageView> | undefined> {
    const owner = userOwner(tenant, user)
    const number = pageOf(count, owner)
    const owners = count.pages.length === 0 ? [] : await usageCounts.page(tenantKey(tenant), count.id, number)
    if (!owners) return undefined
    const found = owners.find((usage) => usage.owner === owner) ?? { owner, files: 0, bytes: 0, days: [] }
    return { ...viewTotals(count), users: [viewUsage(found, user)] }
  }
}

/** Returns the number of the page that has an owner, if any has. */
function pageOf({ pages }: UsageCount, owner: string): number {
  return Math.max(
    0,
    pages.findLastIndex((first) => first <= owner),
  )
}

function viewUsage({ files, bytes, days }: UsageOfOwner, user: string | undefined): Static<typeof UserUsage> {
  return { ...(user !== undefined && { user }), files, bytes, days }
}
