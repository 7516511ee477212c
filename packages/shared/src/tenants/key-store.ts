import { HeadObjectCommand, NotFound, paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { v7 } from 'uuid'
import { undefinedIfUnreadable } from '../connections/stored-json.ts'
import { createJsonObjects } from '../ledger/json-objects.ts'
import { listParsedKeys } from '../ledger/list-parsed-keys.ts'
import { apiKeyKey, apiKeysPrefix, parseApiKeyKey, tenantApiKeysPrefix } from '../ledger/object-keys.ts'
import { AppError } from '../service/app-error.ts'
import { TenantName, tenantKey } from '../uploads/owner.ts'
import { generateKey, hashOfKey } from './generate-key.ts'

/** How many keys a tenant may have. Each takes some 1 KB of each API instance. */
export const maxKeysPerTenant = 100
/** How many keys are read from S3 at once. */
const readsAtOnce = 16

/** The id of an API key that was made at run time. Ids sort by the time they were made. */
export const ApiKeyId = Type.String({ pattern: '^key-[0-9a-f]{32}$' })

/** An API key that was made at run time. The object in S3. */
export const StoredApiKey = Type.Object({
  version: Type.Literal(1),
  id: ApiKeyId,
  tenant: TenantName,
  /** A newer version may know other scopes, so this is not limited to those of this one. */
  scopes: Type.Array(Type.String()),
  description: Type.String(),
  sha256: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'of the key, which is stored nowhere' }),
  createdAt: Type.String({ description: 'ISO 8601' }),
  createdBy: Type.String({ description: 'the id of the credential that made it' }),
  expiresAt: Type.Optional(Type.String({ description: 'ISO 8601' })),
})
export type StoredApiKey = Static<typeof StoredApiKey>

/** What the creator of a key decides about it. */
export type NewApiKey = Pick<StoredApiKey, 'tenant' | 'scopes' | 'description' | 'createdBy'> & {
  /** When the key expires by itself, in ms since 1970; undefined: never. */
  expiresAtMs?: number | undefined
}

const storedApiKey = Compile(StoredApiKey)

/** Whether a key has expired. @param nowMs ms since 1970 */
export function isExpired({ expiresAt }: Pick<StoredApiKey, 'expiresAt'>, nowMs: number): boolean {
  return expiresAt !== undefined && Date.parse(expiresAt) <= nowMs
}

/**
 * Stores the API keys that are made at run time, one object each, as hashes. They are in S3 alone, since Redis may be lost.
 * To revoke a key is to delete its object. Ids are never used again, and objects never change.
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createKeyStore({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const { read, write, delete: removeObject } = createJsonObjects({ s3, bucket }, storedApiKey)

  /** Reads keys, some at once. Those that were deleted meanwhile, and those of another version, are left out. */
  async function readAll(objectKeys: readonly string[]): Promise<StoredApiKey[]> {
    const found: StoredApiKey[] = []
    for (let start = 0; start < objectKeys.length; start += readsAtOnce) {
      const batch = objectKeys.slice(start, start + readsAtOnce)
      const keys = await Promise.all(batch.map((key) => read(key).catch(undefinedIfUnreadable)))
      found.push(...keys.filter((key) => key !== undefined))
    }
    return found
  }

  async function listKeys(tenant: string, options: { after?: string | undefined; limit: number }) {
    const { after, limit } = options
    const { found, hasMore } = await listParsedKeys(
      { s3, bucket },
      {
        prefix: tenantApiKeysPrefix(tenantKey(tenant)),
        after: after === undefined ? undefined : apiKeyKey(tenantKey(tenant), after),
        limit,
        parse: (key) => (parseApiKeyKey(key) === undefined ? undefined : key),
      },
    )
    return { objectKeys: found, hasMore }
  }

  /**
   * Deletes the tenant's expired keys if it has as many as it may have.
   * @throws AppError `too_many_keys`
   */
  async function makeRoom(tenant: string): Promise<void> {
    const { objectKeys } = await listKeys(tenant, { limit: maxKeysPerTenant })
    if (objectKeys.length < maxKeysPerTenant) return
    const expired = (await readAll(objectKeys)).filter((key) => isExpired(key, Date.now()))
    for (const { id } of expired) await removeObject(apiKeyKey(tenantKey(tenant), id))
    if (expired.length > 0) return
    throw new AppError('too_many_keys', {
      message: `A tenant may have ${maxKeysPerTenant} API keys. Revoke one that is not needed.`,
      limit: maxKeysPerTenant,
      remaining: 0,
    })
  }

  return {
    /**
     * Makes a key. Two at the same time may exceed the limit by one.
     *
     * @returns the key, which is stored nowhere; what is stored of it, and where
     * @throws AppError `too_many_keys`
     */
    async create(newKey: NewApiKey) {
      const { expiresAtMs, ...given } = newKey
      await makeRoom(given.tenant)
      const key = generateKey()
      const stored: StoredApiKey = {
        version: 1,
        id: `key-${v7().replaceAll('-', '')}`,
        ...given,
        sha256: hashOfKey(key),
        createdAt: new Date().toISOString(),
        ...(expiresAtMs !== undefined && { expiresAt: new Date(expiresAtMs).toISOString() }),
      }
      const objectKey = apiKeyKey(tenantKey(given.tenant), stored.id)
      const { etag } = await write(objectKey, stored)
      return { key, stored, objectKey, etag }
    },

    /** Deletes a key of a tenant. @returns whether there was one */
    async remove(tenant: string, id: string): Promise<boolean> {
      const objectKey = apiKeyKey(tenantKey(tenant), id)
      if (parseApiKeyKey(objectKey) === undefined) return false
      try {
        await s3.send(new HeadObjectCommand({ Bucket: bucket, Key: objectKey }))
      } catch (error) {
        if (error instanceof NotFound) return false
        throw error
      }
      await removeObject(objectKey)
      return true
    },

    /**
     * Lists keys of a tenant, oldest first, expired ones included.
     *
     * @param options.after excludes this id and all older ones
     * @param options.limit the largest number of keys of the page
     * @returns the page, and the id after which the next one begins, if there may be more
     */
    async list(tenant: string, options: { after?: string | undefined; limit: number }) {
      const { objectKeys, hasMore } = await listKeys(tenant, options)
      const last = objectKeys.at(-1)
      const nextCursor = hasMore && last !== undefined ? parseApiKeyKey(last) : undefined
      return { keys: await readAll(objectKeys), ...(nextCursor !== undefined && { nextCursor }) }
    },

    /** Lists the objects of all tenants' keys. @returns their etags, by object key */
    async listObjects(abortSignal: AbortSignal): Promise<Map<string, string>> {
      const etags = new Map<string, string>()
      const listing = { Bucket: bucket, Prefix: apiKeysPrefix }
      const options = { client: s3 }
      for await (const { Contents = [] } of paginateListObjectsV2(options, listing, { abortSignal })) {
        for (const { Key = '', ETag = '' } of Contents) if (parseApiKeyKey(Key)) etags.set(Key, ETag)
      }
      return etags
    },

    /**
     * Reads the key of an object; undefined if the object does not exist.
     * @throws AppError `unreadable_record` if another version wrote it
     */
    read,
  }
}

export type KeyStore = ReturnType<typeof createKeyStore>
