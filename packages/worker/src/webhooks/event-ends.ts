import type { Redis } from 'ioredis'

/** Longer than deliveries are tried, in ms. */
const lifeMs = 3 * 24 * 60 * 60 * 1000

/** How the delivery of an event to one webhook ended. `dropped`: the webhook was removed or disabled. */
export type DeliveryEnd = 'delivered' | 'gave-up' | 'dropped'

/**
 * Which webhooks are done with an event that is still in the outbox, because others are not. If Redis loses it, those
 * webhooks get the event again: at least once.
 *
 *   {prefix}:webhook-event:{eventId}:ends   hash: webhook id → how its delivery ended
 */
export function createEventEnds({ redis, prefix }: { redis: Redis; prefix: string }) {
  const key = (eventId: string) => `${prefix}:webhook-event:${eventId}:ends`
  return {
    /** Records the end of a delivery. */
    async record(eventId: string, webhookId: string, end: DeliveryEnd): Promise<void> {
      await redis.multi().hset(key(eventId), webhookId, end).pexpire(key(eventId), lifeMs).exec()
    },
    /** Whether a webhook is done with an event. */
    async has(eventId: string, webhookId: string): Promise<boolean> {
      return (await redis.hexists(key(eventId), webhookId)) === 1
    },
    /** Returns the webhooks that are done with an event. */
    async webhooksOf(eventId: string): Promise<Set<string>> {
      return new Set(await redis.hkeys(key(eventId)))
    },
    /** Forgets an event that has left the outbox. */
    async forget(eventId: string): Promise<void> {
      await redis.del(key(eventId))
    },
  }
}

export type EventEnds = ReturnType<typeof createEventEnds>
