import { GetObjectCommand, NoSuchKey, PutObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { LRUCache } from 'lru-cache'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { userKey } from '../ledger/object-keys.ts'
import { parseStored } from '../service/stored-json.ts'
import { TenantName, UserId, userOwner } from '../uploads/owner.ts'

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
 * Records which user an owner is. Owners of users are hashes, so this is the only place that knows the ids; it is in S3,
 * since Redis may be lost.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createTenantUsers({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const known = new LRUCache<string, TenantUser>({ max: cachedUsers })

  async function find(owner: string): Promise<TenantUser | undefined> {
    const cached = known.get(owner)
    if (cached) return cached
    try {
      const { Body } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: userKey(owner) }))
      const found = parseStored(tenantUser, (await Body?.transformToString()) ?? '', userKey(owner))
      known.set(owner, found)
      return found
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined
      throw error
    }
  }

  return {
    /** Returns the user that an owner is; undefined for an owner that is no user, and for one without uploads. */
    find,

    /**
     * Records a user, before anything of it is stored. One that is known costs nothing.
     * @returns its owner
     */
    async record(tenant: string, user: string): Promise<string> {
      const owner = userOwner(tenant, user)
      if (known.has(owner) || (await find(owner))) return owner
      const created: TenantUser = { version: 1, tenant, user, createdAt: new Date().toISOString() }
      await s3.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: userKey(owner),
          Body: JSON.stringify(created),
          ContentType: 'application/json',
        }),
      )
      known.set(owner, created)
      return owner
    },
  }
}

export type TenantUsers = ReturnType<typeof createTenantUsers>
