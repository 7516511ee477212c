import { randomBytes } from 'node:crypto'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { redisScript, runScript } from '../connections/redis-script.ts'
import { parseStored, undefinedIfUnreadable } from '../connections/stored-json.ts'
import { UploadId } from '../uploads/upload-id.ts'
import { WebhookEvent, WebhookEventType, WebhookUpload } from './webhook-event.ts'

/** How many deliveries of a webhook are kept, and for how long after the last one, in ms. */
const maxDeliveries = 200
const lifeMs = 7 * 24 * 60 * 60 * 1000

export const DeliveryId = Type.String({ pattern: '^dlv_[0-9a-f]{32}$' })

/** `event`: something happened; `replay`: sent again on request; `test`: a sample, sent on request. */
export const DeliveryKind = Type.Union(
  [Type.Literal('event'), Type.Literal('replay'), Type.Literal('test')],
  {
    title: 'DeliveryKind',
  },
)
export type DeliveryKind = Static<typeof DeliveryKind>

/** The body of the request to a webhook (Standard Webhooks, "Payload structure"). */
export const WebhookContent = Type.Object({
  id: WebhookEvent.properties.id,
  type: WebhookEventType,
  timestamp: Type.String({ description: 'ISO 8601, UTC: when it happened' }),
  test: Type.Optional(Type.Literal(true)),
  data: WebhookUpload,
})
export type WebhookContent = Static<typeof WebhookContent>

/** What became of the last attempt of a delivery. */
const attemptFields = {
  attempt: Type.Integer({ minimum: 0, description: 'attempts so far' }),
  at: Type.Optional(Type.String({ description: 'ISO 8601, UTC: when the last attempt began' })),
  ms: Type.Optional(Type.Integer({ minimum: 0, description: 'how long the last attempt took, in ms' })),
  status: Type.Optional(Type.Integer({ description: 'HTTP status of the last response' })),
  error: Type.Optional(
    Type.String({
      description:
        'why there was no response: `address_refused` (not public), `dns_unavailable`, `timeout` or `connection_failed`',
    }),
  ),
  excerpt: Type.Optional(Type.String({ description: 'the first 1,000 bytes of the last response' })),
  nextAttemptAt: Type.Optional(
    Type.String({ description: 'ISO 8601, UTC: the earliest time of the next attempt' }),
  ),
}

/** One event for one webhook: an entry of the log. */
export const Delivery = Type.Object(
  {
    id: DeliveryId,
    kind: DeliveryKind,
    eventId: WebhookEvent.properties.id,
    type: WebhookEventType,
    uploadId: UploadId,
    state: Type.Union([Type.Literal('pending'), Type.Literal('delivered'), Type.Literal('failed')], {
      description: '`failed`: no further attempt',
    }),
    createdAt: Type.String({ description: 'ISO 8601, UTC' }),
    ...attemptFields,
  },
  { title: 'Delivery' },
)
export type Delivery = Static<typeof Delivery>

/** As it is in Redis: with the content, so that it can be sent again after the event has left the outbox. */
const StoredDelivery = Type.Object({
  version: Type.Literal(1),
  ...Delivery.properties,
  content: Type.Optional(WebhookContent),
})
export type StoredDelivery = Static<typeof StoredDelivery>

const storedDelivery = Compile(StoredDelivery)

/**
 * KEYS: order, entries. ARGV: id, text, created at (ms since 1970), limit, now, life (ms). An entry that is too old, or
 * older than all of a full log, is not kept.
 */
const putScript = redisScript(`
redis.call('ZADD', KEYS[1], 'NX', ARGV[3], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
local function drop(ids) if #ids > 0 then redis.call('HDEL', KEYS[2], unpack(ids)) end end
drop(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[5] - ARGV[6], 'LIMIT', 0, 1000))
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[5] - ARGV[6])
local over = redis.call('ZCARD', KEYS[1]) - ARGV[4]
if over > 0 then
  drop(redis.call('ZRANGE', KEYS[1], 0, over - 1))
  redis.call('ZREMRANGEBYRANK', KEYS[1], 0, over - 1)
end
redis.call('PEXPIRE', KEYS[1], ARGV[6])
redis.call('PEXPIRE', KEYS[2], ARGV[6])
return 1
`)

/** KEYS: entries. ARGV: text. Returns the entries that contain it. */
const mentionScript = redisScript(`
local found = {}
for _, entry in ipairs(redis.call('HVALS', KEYS[1])) do
  if string.find(entry, ARGV[1], 1, true) then found[#found + 1] = entry end
end
return found
`)

/** Returns an id for a delivery that was asked for. */
export function newDeliveryId(): string {
  return `dlv_${randomBytes(16).toString('hex')}`
}

/**
 * The log of deliveries: for each webhook its newest deliveries, and the last attempt of each. It is in Redis only, since it
 * is for people and for replays; what must be delivered is in the outbox.
 *
 *   {prefix}:webhook:{webhookId}:deliveries           sorted set: ids, by when they were created
 *   {prefix}:webhook:{webhookId}:deliveries:entries   hash: the entry of each id, JSON
 *
 * @param deps.limit entries of a webhook
 */
export function createDeliveryLog(deps: { redis: Redis; prefix: string; limit?: number }) {
  const { redis, prefix, limit = maxDeliveries } = deps
  const orderKey = (webhookId: string) => `${prefix}:webhook:${webhookId}:deliveries`
  const entriesKey = (webhookId: string) => `${orderKey(webhookId)}:entries`

  async function readAll(webhookId: string, ids: string[]): Promise<StoredDelivery[]> {
    if (ids.length === 0) return []
    const texts = await redis.hmget(entriesKey(webhookId), ...ids)
    return texts.flatMap((text) => read(text, webhookId) ?? [])
  }

  function read(text: string | null | undefined, webhookId: string): StoredDelivery | undefined {
    if (text === null || text === undefined) return undefined
    try {
      return parseStored(storedDelivery, text, entriesKey(webhookId))
    } catch (error) {
      return undefinedIfUnreadable(error)
    }
  }

  async function put(webhookId: string, delivery: StoredDelivery): Promise<void> {
    await runScript(
      redis,
      putScript,
      2,
      orderKey(webhookId),
      entriesKey(webhookId),
      delivery.id,
      JSON.stringify(delivery),
      Date.parse(delivery.createdAt),
      limit,
      Date.now(),
      lifeMs,
    )
  }

  return {
    /** Writes an entry, or replaces it. The oldest ones of the webhook leave the log. */
    put,

    /** Returns a delivery of a webhook with its content, if the log still has it. */
    async find(webhookId: string, id: string): Promise<StoredDelivery | undefined> {
      return read(await redis.hget(entriesKey(webhookId), id), webhookId)
    },

    /**
     * Lists deliveries of a webhook, newest first.
     * @param options.before the last delivery of the page before
     * @returns `next` is undefined if there are no older ones
     */
    async list(
      webhookId: string,
      { before, limit: count }: { before?: string | undefined; limit: number },
    ): Promise<{ deliveries: StoredDelivery[]; next: string | undefined }> {
      const rank = before === undefined ? -1 : await redis.zrevrank(orderKey(webhookId), before)
      if (rank === null) return { deliveries: [], next: undefined }
      // One more than asked for shows whether another page follows.
      const ids = await redis.zrevrange(orderKey(webhookId), rank + 1, rank + 1 + count)
      const page = ids.slice(0, count)
      return {
        deliveries: await readAll(webhookId, page),
        next: ids.length > count ? page.at(-1) : undefined,
      }
    },

    /** Removes what entries say of an upload that was deleted. They cannot be replayed any more. */
    async forget(webhookId: string, uploadId: string): Promise<void> {
      const texts = await runScript(redis, mentionScript, 1, entriesKey(webhookId), uploadId)
      for (const text of Array.isArray(texts) ? texts : []) {
        const delivery = read(String(text), webhookId)
        if (!delivery?.content || delivery.uploadId !== uploadId || delivery.type === 'upload.deleted')
          continue
        const { content: _, excerpt: __, ...rest } = delivery
        await put(webhookId, rest)
      }
    },
  }
}

export type DeliveryLog = ReturnType<typeof createDeliveryLog>
