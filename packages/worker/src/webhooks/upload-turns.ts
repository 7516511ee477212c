import { outboxKey } from '@millrace/shared/ledger/object-keys.ts'
import type { DeliverEventJob, DeliveryQueue } from '@millrace/shared/webhooks/delivery-queue.ts'
import type { Outbox } from '@millrace/shared/webhooks/outbox.ts'
import type { Redis } from 'ioredis'
import type { EventEnds } from './event-ends.ts'

/** Delays of a delivery that waits for an earlier event, in ms: doubled with each start, up to the longest. */
export type TurnTimes = { firstDelayMs: number; longestDelayMs: number }

/** The end of the earlier delivery starts those that wait for it. These delays are for the case that it could not. */
export const usualTurnTimes: TurnTimes = { firstDelayMs: 1_000, longestDelayMs: 5 * 60_000 }

/** In ms: longer than deliveries are tried. */
const lifeMs = 3 * 24 * 60 * 60 * 1000

/**
 * Orders the events of an upload at each webhook: one is sent when the webhook has the earlier ones, or they were given up.
 *
 *   {prefix}:webhook:{webhookId}:waiting:{uploadId}   set: deliveries that wait for an earlier event of the upload
 */
export function createUploadTurns(deps: {
  redis: Redis
  prefix: string
  outbox: Pick<Outbox, 'read'>
  ends: EventEnds
  queue: Pick<DeliveryQueue, 'startNow'>
  times: TurnTimes
}) {
  const { redis, prefix, outbox, ends, queue, times } = deps
  const waitingKey = ({ webhookId, uploadId }: DeliverEventJob) =>
    `${prefix}:webhook:${webhookId}:waiting:${uploadId}`

  return {
    /**
     * Returns how long a delivery waits for earlier ones, in ms; undefined if it need not.
     * @param starts how often its job was started before
     */
    async delayOf(job: DeliverEventJob, starts: number): Promise<number | undefined> {
      if (job.after.length === 0) return undefined
      // Before the check, so that an earlier delivery that ends meanwhile starts this one.
      await redis.multi().sadd(waitingKey(job), job.deliveryId).pexpire(waitingKey(job), lifeMs).exec()
      for (const eventId of job.after) {
        if (await isOpen(job, eventId)) {
          return Math.min(times.longestDelayMs, times.firstDelayMs * 2 ** Math.min(starts, 20))
        }
      }
      await redis.srem(waitingKey(job), job.deliveryId)
      return undefined
    },

    /** Starts the deliveries that wait for this one. */
    async pass(job: DeliverEventJob): Promise<void> {
      const [[, waiting] = []] =
        (await redis.multi().smembers(waitingKey(job)).del(waitingKey(job)).exec()) ?? []
      if (!Array.isArray(waiting)) return
      for (const deliveryId of waiting) {
        if (deliveryId !== job.deliveryId) await queue.startNow(String(deliveryId))
      }
    },
  }

  async function isOpen(
    { tenantKey, uploadId, webhookId }: DeliverEventJob,
    eventId: string,
  ): Promise<boolean> {
    if (await ends.has(eventId, webhookId)) return false
    return (await outbox.read(outboxKey(tenantKey, uploadId, eventId))) !== undefined
  }
}

export type UploadTurns = ReturnType<typeof createUploadTurns>
