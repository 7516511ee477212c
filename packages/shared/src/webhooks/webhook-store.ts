import { paginateListObjectsV2, type S3Client } from '@aws-sdk/client-s3'
import { LRUCache } from 'lru-cache'
import { Compile } from 'typebox/compile'
import { undefinedIfUnreadable } from '../connections/stored-json.ts'
import { createJsonObjects } from '../ledger/json-objects.ts'
import { webhookKey, webhooksPrefix } from '../ledger/object-keys.ts'
import { AppError } from '../service/app-error.ts'
import { tenantKey } from '../uploads/owner.ts'
import { Webhook } from './webhook.ts'

const webhookValidator = Compile(Webhook)

/** How long a list is kept, in ms: how long another instance's change may take to be noticed. */
const listLifeMs = 5_000
/** Tenants whose lists are kept. Most are empty; one of 20 webhooks takes some 20 KB. */
const maxLists = 1_000
/** How often an update is tried again because another process changed the webhook meanwhile. */
const attempts = 8

/**
 * Stores tenants' webhooks in S3, one object each. Redis may be lost, webhooks may not. All functions take the key of the
 * tenant (`tenantKey` of `owner.ts`).
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createWebhookStore({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const objects = createJsonObjects({ s3, bucket }, webhookValidator)
  const lists = new LRUCache<string, Promise<Webhook[]>>({ max: maxLists, ttl: listLifeMs })

  /** Runs a write. Also after a failure, S3 may have it, so the list is read again. */
  async function changing<Result>(tenant: string, write: () => Promise<Result>): Promise<Result> {
    try {
      return await write()
    } finally {
      lists.delete(tenant)
    }
  }

  async function listFromS3(tenant: string): Promise<Webhook[]> {
    const prefix = `${webhooksPrefix}${tenant}/`
    const ids: string[] = []
    for await (const { Contents = [] } of paginateListObjectsV2(
      { client: s3 },
      { Bucket: bucket, Prefix: prefix },
    )) {
      for (const { Key = '' } of Contents) ids.push(Key.slice(prefix.length, -'.json'.length))
    }
    // One that a newer version wrote in another form must not stop the others.
    const found = await Promise.all(
      ids.map((id) => objects.read(webhookKey(tenant, id)).catch(undefinedIfUnreadable)),
    )
    return found
      .filter((webhook) => webhook !== undefined)
      .sort((one, other) => (ageOf(one) < ageOf(other) ? -1 : 1))
  }

  return {
    /**
     * Lists a tenant's webhooks, oldest first. The list may be 5 s old, so that it costs an upload nothing; a change made by
     * this instance is seen at once. Webhooks that a newer version wrote in another form are left out.
     * @param options.isFresh reads S3 now
     */
    list(tenant: string, { isFresh = false }: { isFresh?: boolean } = {}): Promise<Webhook[]> {
      const known = isFresh ? undefined : lists.get(tenant)
      if (known) return known
      const listed = listFromS3(tenant)
      lists.set(tenant, listed)
      // A failure is not kept. Nor does this end a list that began after it.
      listed.catch(() => lists.peek(tenant) === listed && lists.delete(tenant))
      return listed
    },

    /**
     * Reads a webhook from S3. Returns undefined if the tenant has none with this id.
     * @throws AppError `unreadable_record` if a newer version wrote it in another form
     */
    read: (tenant: string, id: string): Promise<Webhook | undefined> => objects.read(webhookKey(tenant, id)),

    /** Writes a new webhook. */
    async create(webhook: Webhook): Promise<void> {
      const tenant = tenantKey(webhook.tenant)
      await changing(tenant, () => objects.write(webhookKey(tenant, webhook.id), webhook))
    },

    /**
     * Changes a webhook, unless another process changed it since it was read: then the change is decided again.
     *
     * @param change returns the changed webhook, or undefined to leave it as it is
     * @returns the webhook as it is in S3 then; undefined if the tenant has none with this id
     * @throws AppError `conflict` if other processes keep changing it
     */
    async update(
      tenant: string,
      id: string,
      change: (current: Webhook) => Webhook | undefined,
    ): Promise<Webhook | undefined> {
      const key = webhookKey(tenant, id)
      for (let attempt = 0; attempt < attempts; attempt++) {
        const stored = await objects.readStored(key)
        if (!stored) return undefined
        const next = change(stored.content)
        if (!next) return stored.content
        if (await changing(tenant, () => objects.writeIf(key, next, stored))) return next
      }
      throw new AppError('conflict', { message: 'The webhook is being changed by another process.' })
    },

    /** Deletes a webhook. @returns false if the tenant has none with this id */
    async remove(tenant: string, id: string): Promise<boolean> {
      const key = webhookKey(tenant, id)
      if (!(await objects.read(key).catch(undefinedIfUnreadable))) return false
      await changing(tenant, () => objects.delete(key))
      return true
    },
  }
}

export type WebhookStore = ReturnType<typeof createWebhookStore>

/** Sorts webhooks by age. The id decides between those of one ms, so that all instances see one order. */
function ageOf({ createdAt, id }: Webhook): string {
  return `${createdAt} ${id}`
}
