import { createHash } from 'node:crypto'
import { Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import Type, { type Static } from 'typebox'
import { redisScript, runScript } from '../connections/redis-script.ts'
import { noTracing, type Tracing } from '../tracing/tracing.ts'
import { UploadId } from '../uploads/upload-id.ts'
import { DeliveryId, DeliveryKind } from './delivery-log.ts'
import { Webhook } from './webhook.ts'
import { WebhookEvent } from './webhook-event.ts'

/** The queue of webhook events and their deliveries. Its Redis keys start with `{prefix}:webhooks:`. */
export const webhookQueueName = 'webhooks'

const { id: EventId, tenantKey: TenantKey } = WebhookEvent.properties

/** Payload of a `distribute-event` job: where the event is in the outbox. For other versions, see `ProcessUploadJob`. */
export const DistributeEventJob = Type.Object({
  version: Type.Literal(1),
  tenantKey: TenantKey,
  uploadId: UploadId,
  eventId: EventId,
})
export type DistributeEventJob = Static<typeof DistributeEventJob>

/** Payload of a `deliver-event` job: one event for one webhook. */
export const DeliverEventJob = Type.Object({
  version: Type.Literal(1),
  tenantKey: TenantKey,
  uploadId: UploadId,
  eventId: EventId,
  webhookId: Webhook.properties.id,
  deliveryId: DeliveryId,
  kind: DeliveryKind,
  after: Type.Array(EventId, { description: 'earlier events of the upload that the webhook gets first' }),
  attempts: Type.Integer({ minimum: 0, description: 'attempts that failed' }),
})
export type DeliverEventJob = Static<typeof DeliverEventJob>

/** Where an event is. */
export type EventAddress = Pick<DistributeEventJob, 'tenantKey' | 'uploadId' | 'eventId'>

/**
 * How many events of one tenant may have jobs at once: some 2 KB of Redis each, and 1 KB for each webhook. Further events wait in the outbox until the
 * relay finds room for them, so that a tenant whose receiver is dead fills neither Redis nor the queue.
 */
export const defaultMaxQueuedEvents = 2_000

/** After this an event counts as gone from the queue, whatever became of its job, in ms. Events are given up after a day. */
const queuedEventLifeMs = 3 * 24 * 60 * 60 * 1000

/** KEYS: events of the tenant that have jobs. ARGV: event id, now, life (ms), limit. Returns 1 if the event has room. */
const enterScript = redisScript(`
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[2] - ARGV[3])
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) then
  if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
  redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`)

/** Returns the id of the delivery of an event to a webhook: the same whenever it is sent again. */
export function deliveryIdOf(eventId: string, webhookId: string): string {
  const hash = createHash('sha256').update(`${eventId}\0${webhookId}`).digest('hex')
  return `dlv_${hash.slice(0, 32)}`
}

/**
 * Adds jobs for webhook events. An event has one job, `distribute-event`, which adds a `deliver-event` job for each webhook
 * and waits until all of them have ended (BullMQ's parents and children). So an event has a job as long as it is on its way.
 *
 *   {prefix}:webhook-events:{tenantKey}   sorted set: events of a tenant that have jobs, by when they got them
 *
 * @param deps.redis a connection; it is not closed with the queue
 * @param deps.prefix prefix of every key
 * @param deps.maxQueuedEvents how many events of one tenant may have jobs at once
 * @param deps.tracing carries the active trace in the jobs; default: nothing is traced
 */
export function createDeliveryQueue(deps: {
  redis: Redis
  prefix: string
  maxQueuedEvents?: number
  tracing?: Tracing
}) {
  const { redis, prefix, maxQueuedEvents = defaultMaxQueuedEvents, tracing = noTracing } = deps
  const queue = new Queue<DistributeEventJob | DeliverEventJob, void, 'distribute-event' | 'deliver-event'>(
    webhookQueueName,
    {
      connection: redis,
      prefix,
      ...(tracing.telemetry && { telemetry: tracing.telemetry }),
      defaultJobOptions: {
        // For faults of our own only; failed requests to webhooks are repeated within the handler. Milliseconds: 5 s,
        // doubled each time, for some three hours.
        attempts: 12,
        backoff: { type: 'exponential', delay: 5000, jitter: 0.5 },
        removeOnComplete: true,
        // The event is in the outbox, where the relay finds it again.
        removeOnFail: true,
        stackTraceLimit: 1,
      },
    },
  )

  // Without a listener, BullMQ prints the connection's errors, which are already logged where it is created.
  queue.on('error', () => undefined)

  const eventsKey = (tenantKey: string) => `${prefix}:webhook-events:${tenantKey}`

  /** @returns false if the tenant has too many events with jobs: the relay adds it later */
  async function distribute({ tenantKey, uploadId, eventId }: EventAddress): Promise<boolean> {
    const hasRoom = await runScript(
      redis,
      enterScript,
      1,
      eventsKey(tenantKey),
      eventId,
      Date.now(),
      queuedEventLifeMs,
      maxQueuedEvents,
    )
    if (hasRoom !== 1) return false
    await queue.add('distribute-event', { version: 1, tenantKey, uploadId, eventId }, { jobId: eventId })
    return true
  }

  return {
    distribute,

    /** Adds the job of an event, unless it has one. Without room, the relay adds it later. */
    async announce({
      id,
      tenantKey,
      upload,
    }: Pick<WebhookEvent, 'id' | 'tenantKey' | 'upload'>): Promise<void> {
      await distribute({ tenantKey, uploadId: upload.id, eventId: id })
    },

    /**
     * Adds a job that delivers an event to a webhook.
     * @param options.isPartOfEvent the event's own job waits for it
     */
    async deliver(
      job: Omit<DeliverEventJob, 'version' | 'attempts'>,
      { isPartOfEvent }: { isPartOfEvent: boolean },
    ): Promise<void> {
      await queue.add(
        'deliver-event',
        { version: 1, ...job, attempts: 0 },
        {
          jobId: job.deliveryId,
          ...(isPartOfEvent && {
            parent: { id: job.eventId, queue: queue.qualifiedName },
            ignoreDependencyOnFailure: true,
          }),
        },
      )
    },

    /** Returns those events that have no job. */
    async withoutJob<Event extends EventAddress>(events: Event[]): Promise<Event[]> {
      const pipeline = redis.pipeline()
      for (const { eventId } of events) pipeline.exists(queue.toKey(eventId))
      const results = (await pipeline.exec()) ?? []
      for (const [error] of results) if (error) throw error
      return events.filter((_, index) => results[index]?.[1] === 0)
    },

    /** Makes room for another event of the tenant. */
    async leave({ tenantKey, eventId }: EventAddress): Promise<void> {
      await redis.zrem(eventsKey(tenantKey), eventId)
    },

    /** Starts a delayed delivery now. Does nothing if it is not delayed. */
    async startNow(deliveryId: string): Promise<void> {
      const job = await queue.getJob(deliveryId)
      // It may have started meanwhile.
      if (await job?.isDelayed()) await job?.promote().catch(() => undefined)
    },

    async close(): Promise<void> {
      await queue.close()
    },
  }
}

export type DeliveryQueue = ReturnType<typeof createDeliveryQueue>
