import type { S3Client } from '@aws-sdk/client-s3'
import { LRUCache } from 'lru-cache'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { createEraseObject } from '../erasure/erase-objects.ts'
import { createJsonObjects } from '../ledger/json-objects.ts'
import { listParsedKeys } from '../ledger/list-parsed-keys.ts'
import { parseUserKey, userKey, usersPrefix } from '../ledger/object-keys.ts'
import { TenantName, UserId, userOwner, userOwnerPrefix } from '../uploads/owner.ts'

/** A tenant's user, as it was given. */
export const TenantUser = Type.Object({
  version: Type.Literal(1),
  tenant: TenantName,
  user: UserId,
  createdAt: Type.String({ description: 'ISO 8601: its first request that could own an upload' }),
})
export type TenantUser = Static<typeof TenantUser>

const tenantUser = Compile(TenantUser)
/** An entry takes up to 1 KB. */
const cachedUsers = 10_000
/**
 * How long an instance trusts its cache, in ms. Instances are told when a user is erased. One that was not (Redis delivers
 * at most once) records a user that comes back this much later at the latest.
 */
const cacheMs = 10 * 60 * 1000

/**
 * Records which user an owner is. Owners of users are hashes, so this is the only place that knows the ids; it is in S3,
 * since Redis may be lost.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createTenantUsers({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const known = new LRUCache<string, TenantUser>({ max: cachedUsers, ttl: cacheMs })
  const objects = createJsonObjects({ s3, bucket }, tenantUser)
  const eraseObject = createEraseObject({ s3, bucket })

  async function find(owner: string): Promise<TenantUser | undefined> {
    return known.get(owner) ?? read(owner)
  }

  async function read(owner: string): Promise<TenantUser | undefined> {
    const found = await objects.read(userKey(owner))
    if (found) known.set(owner, found)
    return found
  }

  return {
    /** Returns the user that an owner is; undefined for an owner that is no user, and for one without uploads. */
    find,

    /** As `find`, but what S3 has now: another instance may have erased the user. */
    read,

    /**
     * Lists the users of a tenant, in the order of their owners.
     *
     * @param options.after the owner after which the page begins
     * @param options.limit at most 1,000
     * @returns the users, and the owner of the last one if more may follow
     */
    async list(
      tenant: string,
      { after, limit }: { after?: string | undefined; limit: number },
    ): Promise<{ users: TenantUser[]; lastOwner: string | undefined }> {
      const { found: owners, hasMore } = await listParsedKeys(
        { s3, bucket },
        {
          prefix: `${usersPrefix}${userOwnerPrefix(tenant)}`,
          after: after === undefined ? undefined : userKey(after),
          limit,
          parse: parseUserKey,
        },
      )
      // Those that were erased since are missing.
      const found = await Promise.all(owners.map(find))
      return {
        users: found.filter((user) => user !== undefined),
        lastOwner: hasMore ? owners.at(-1) : undefined,
      }
    },

    /** Erases what is known of a user, with all versions. */
    async erase(owner: string): Promise<void> {
      await eraseObject(userKey(owner))
      known.delete(owner)
    },

    /** Forgets what this instance has cached of a user, which another one has erased. */
    forget(owner: string): void {
      known.delete(owner)
    },

    /**
     * Records a user, before anything of it is stored. One that is known costs nothing.
     * @returns its owner
     */
    async record(tenant: string, user: string): Promise<string> {
      const owner = userOwner(tenant, user)
      if (known.has(owner) || (await find(owner))) return owner
      const created: TenantUser = { version: 1, tenant, user, createdAt: new Date().toISOString() }
      await objects.write(userKey(owner), created)
      known.set(owner, created)
      return owner
    },
  }
}

export type TenantUsers = ReturnType<typeof createTenantUsers>
