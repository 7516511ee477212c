import {
  DeleteObjectCommand,
  GetObjectCommand,
  NoSuchKey,
  PutObjectCommand,
  paginateListObjectsV2,
  type S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { LRUCache } from 'lru-cache'
import { Compile } from 'typebox/compile'
import { webhookKey, webhooksPrefix } from '../ledger/object-keys.ts'
import { AppError } from '../service/app-error.ts'
import { parseStored, undefinedIfUnreadable } from '../service/stored-json.ts'
import { tenantKey } from '../uploads/owner.ts'
import { Webhook } from './webhook.ts'

const webhookValidator = Compile(Webhook)

/** How long a list is kept, in ms: how long another instance's change may take to be noticed. */
const listLifeMs = 5_000
/** Tenants whose lists are kept. Most are empty; one of 20 webhooks takes some 20 KB. */
const maxLists = 1_000
/** How often an update is tried again because another process changed the webhook meanwhile. */
const attempts = 8

/** Statuses of a conditional write that failed: the object changed, or was deleted, or is being written. */
const conflictStatuses: ReadonlySet<number | undefined> = new Set([404, 409, 412])

/**
 * Stores tenants' webhooks in S3, one object each. Redis may be lost, webhooks may not. All functions take the key of the
 * tenant (`tenantKey` of `owner.ts`).
 *
 * @param deps.bucket the bucket that is the ledger
 */
export function createWebhookStore({ s3, bucket }: { s3: S3Client; bucket: string }) {
  const lists = new LRUCache<string, Promise<Webhook[]>>({ max: maxLists, ttl: listLifeMs })

  async function readStored(
    tenant: string,
    id: string,
  ): Promise<{ webhook: Webhook; etag: string | undefined } | undefined> {
    const key = webhookKey(tenant, id)
    try {
      const { Body, ETag: etag } = await s3.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
      const text = (await Body?.transformToString()) ?? ''
      return { webhook: parseStored(webhookValidator, text, key), etag }
    } catch (error) {
      if (error instanceof NoSuchKey) return undefined
      throw error
    }
  }

  /** @param IfMatch the etag that S3 must have; undefined for a new webhook */
  async function put(tenant: string, webhook: Webhook, IfMatch?: string): Promise<void> {
    try {
      await s3.send(
        new PutObjectCommand({
          Bucket: bucket,
          Key: webhookKey(tenant, webhook.id),
          Body: JSON.stringify(webhook),
          ContentType: 'application/json',
          IfMatch,
        }),
      )
    } finally {
      // Also after a failure: S3 may have it all the same.
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
    const found = await Promise.all(ids.map((id) => readStored(tenant, id).catch(undefinedIfUnreadable)))
    return found
      .flatMap((stored) => (stored ? [stored.webhook] : []))
      .sort((one, other) => (one.createdAt < other.createdAt ? -1 : 1))
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
    async read(tenant: string, id: string): Promise<Webhook | undefined> {
      return (await readStored(tenant, id))?.webhook
    },

    /** Writes a new webhook. */
    async create(webhook: Webhook): Promise<void> {
      await put(tenantKey(webhook.tenant), webhook)
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
      for (let attempt = 0; attempt < attempts; attempt++) {
        const stored = await readStored(tenant, id)
        if (!stored) return undefined
        const next = change(stored.webhook)
        if (!next) return stored.webhook
        try {
          await put(tenant, next, stored.etag)
          return next
        } catch (error) {
          const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined
          if (!conflictStatuses.has(status)) throw error
        }
      }
      throw new AppError('conflict', { message: 'The webhook is being changed by another process.' })
    },

    /** Deletes a webhook. @returns false if the tenant has none with this id */
    async remove(tenant: string, id: string): Promise<boolean> {
      const found = await readStored(tenant, id).catch(undefinedIfUnreadable)
      if (!found) return false
      await s3.send(new DeleteObjectCommand({ Bucket: bucket, Key: webhookKey(tenant, id) }))
      lists.delete(tenant)
      return true
    },
  }
}

export type WebhookStore = ReturnType<typeof createWebhookStore>
