import { randomBytes, randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { connectBlockingRedis } from '@millrace/shared/connections/connections.ts'
import { createManifests, type Manifest } from '@millrace/shared/ledger/manifest.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createTenantUsers } from '@millrace/shared/tenants/tenant-users.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createDeliveryLog, type StoredDelivery } from '@millrace/shared/webhooks/delivery-log.ts'
import { createDeliveryQueue, webhookQueueName } from '@millrace/shared/webhooks/delivery-queue.ts'
import { createOutbox, type Outbox } from '@millrace/shared/webhooks/outbox.ts'
import type { Webhook } from '@millrace/shared/webhooks/webhook.ts'
import type { WebhookEvent, WebhookEventType } from '@millrace/shared/webhooks/webhook-event.ts'
import { createWebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import { uncountedActiveJobs } from '@millrace/worker/jobs/active-jobs.ts'
import { createJobHandlers, createProcessor } from '@millrace/worker/jobs/job-handlers.ts'
import { createOldestJob } from '@millrace/worker/jobs/oldest-job.ts'
import { createQueueWorker } from '@millrace/worker/jobs/queue-worker.ts'
import { createWebhooks, type WebhookLimits } from '@millrace/worker/webhooks/webhooks.ts'
import type { WorkerFleet } from './worker-fleet.ts'

/** The part of a local cloud that webhooks need. */
type Cloud = Pick<WorkerFleet, 'redis' | 's3' | 'bucket'>

/** Short times, so that tests await events and no clock. */
export const quickLimits = {
  retryTimes: { firstMs: 5, factor: 1, longestMs: 5, giveUpAfterMs: 60_000 },
  manifestTimes: { firstDelayMs: 5, longestDelayMs: 5, giveUpAfterMs: 60_000 },
  turnTimes: { firstDelayMs: 5, longestDelayMs: 5 },
  slotLimits: {
    slots: 4,
    slotLifeMs: 60_000,
    failuresToOpen: 100,
    firstPauseMs: 5,
    longestPauseMs: 5,
    longestWaitMs: 20,
  },
  sendLimits: { timeoutMs: 60_000, bodyTimeoutMs: 2_000 },
  relayIntervalMs: 20,
} satisfies WebhookLimits

export type WebhookSender = Awaited<ReturnType<typeof startWebhookSender>>

/**
 * Starts the part of a worker that sends webhooks, and what writes events.
 *
 * @param options.limits replaces some of the quick limits
 * @param options.networks allowed networks; default: 127.0.0.1
 * @param options.dnsServers resolve the hosts of webhooks
 * @param options.maxQueuedEvents of one tenant
 * @param options.slots jobs at once
 * @param options.prefix of Redis' keys; default: one of its own
 * @param options.tenant default: one of its own
 */
export async function startWebhookSender(
  cloud: Cloud,
  options: {
    limits?: WebhookLimits
    networks?: string[]
    dnsServers?: string[]
    maxQueuedEvents?: number
    slots?: number
    prefix?: string
    tenant?: string
  } = {},
) {
  const { redis, s3, bucket } = cloud
  const { prefix = `test-${randomUUID()}`, tenant = `tenant-${randomBytes(6).toString('hex')}` } = options
  /** Emitted after each step that the log shows, and when an event has left the outbox. */
  const steps = new EventEmitter()
  // Each upload that is waited for has one.
  steps.setMaxListeners(0)
  const log = createLog({ level: 'info', instance: 'test' }, { write: () => steps.emit('step') })
  const { maxQueuedEvents } = options
  const queue = createDeliveryQueue({ redis, prefix, ...(maxQueuedEvents && { maxQueuedEvents }) })
  const webhooks = createWebhookStore({ s3, bucket })
  const written = createOutbox({
    s3,
    bucket,
    webhooks,
    tenantUsers: createTenantUsers({ s3, bucket }),
    announce: queue.announce,
  })
  const outbox: Outbox = {
    ...written,
    async remove(event) {
      await written.remove(event)
      steps.emit('step')
    },
  }
  const blockingRedis = connectBlockingRedis(process.env['REDIS_URL'] ?? '', log)
  const room = createWebhooks({
    redis,
    prefix,
    outbox,
    webhooks,
    manifests: createManifests({ s3, bucket }),
    queue,
    log,
    config: {
      webhookAllowedNetworks: options.networks ?? ['127.0.0.1/32'],
      importDnsServers: options.dnsServers ?? [],
    },
    limits: { ...quickLimits, ...options.limits },
  })
  const worker = createQueueWorker({
    queueName: webhookQueueName,
    redis: blockingRedis,
    prefix,
    slots: options.slots ?? 16,
    processor: createProcessor({
      handlers: createJobHandlers({
        ...room,
        processUpload: unexpected,
        failUpload: unexpected,
        importUpload: unexpected,
        finishImport: unexpected,
      }),
      activeJobs: uncountedActiveJobs,
      oldestJob: createOldestJob(),
      log,
    }),
    log,
  })
  let isRelaying = false

  const sender = {
    prefix,
    tenant,
    tenantKey: tenantKey(tenant),
    queue,
    webhooks,
    outbox,
    deliveryLog: createDeliveryLog({ redis, prefix }),
    start: worker.start,
    /** Starts to look for events without jobs. */
    startRelay(): void {
      isRelaying = true
      room.relay.start()
    },

    /** Creates a webhook of the tenant. */
    async hook(url: string, properties: Partial<Webhook> = {}): Promise<Webhook> {
      const now = new Date().toISOString()
      const webhook: Webhook = {
        version: 1,
        id: `wh_${randomBytes(12).toString('hex')}`,
        tenant,
        url,
        events: ['upload.received', 'upload.ready', 'upload.rejected', 'upload.failed', 'upload.deleted'],
        description: '',
        enabled: true,
        secrets: [newSecret()],
        createdAt: now,
        updatedAt: now,
        ...properties,
      }
      await webhooks.create(webhook)
      return webhook
    },

    /** Writes an event to the outbox without announcing it. @param options.isCommitted writes the manifest of an outcome */
    async write(
      type: WebhookEventType,
      options: {
        id?: string
        at?: string
        isCommitted?: boolean
        cause?: string
        needsNoManifest?: true
      } = {},
    ): Promise<WebhookEvent> {
      const {
        id = newUploadId(),
        at = new Date().toISOString(),
        isCommitted = true,
        cause = 'bytes',
      } = options
      const address = { owner: tenant, id }
      const event = await outbox.add(
        type === 'upload.deleted'
          ? { type, upload: address, at, cause }
          : {
              type,
              upload: uploadOf(address, type),
              at,
              cause,
              ...(options.needsNoManifest && { needsNoManifest: true }),
            },
      )
      if (!event) throw new Error('No webhook of the tenant wants the event.')
      const { state } = event.upload
      if (isCommitted && (state === 'ready' || state === 'rejected' || state === 'failed')) {
        await commit(event, state)
      }
      return event
    },

    /** Writes an event and announces it. */
    async happen(type: WebhookEventType, options: { id?: string; at?: string } = {}): Promise<WebhookEvent> {
      const event = await sender.write(type, options)
      await outbox.announce(event)
      return event
    },

    /** Writes the manifest that names an event. */
    commit,

    /** Waits until the outbox has no event of an upload any more. */
    async untilGone(uploadId: string): Promise<void> {
      await untilFound(steps, async () =>
        (await outbox.listOfUpload(sender.tenantKey, uploadId)).length === 0 ? 'gone' : undefined,
      )
    },

    /** Waits until the log of a webhook shows a delivery in a state, and returns it. */
    async logged(webhookId: string, deliveryId: string, state: string): Promise<StoredDelivery> {
      return untilFound(steps, async () => {
        const found = await sender.deliveryLog.find(webhookId, deliveryId)
        return found?.state === state ? found : undefined
      })
    },

    /** Deletes all that Redis has, while nothing is under way. */
    async loseRedis(): Promise<void> {
      const keys = await redis.keys(`${prefix}:*`)
      if (keys.length > 0) await redis.del(...keys)
    },

    async close(): Promise<void> {
      if (isRelaying) await room.relay.stop()
      await worker.drain(0)
      await queue.close()
      blockingRedis.disconnect()
    },
  }
  return sender

  async function commit(event: WebhookEvent, outcome: Manifest['outcome']): Promise<void> {
    const manifest: Manifest = {
      version: 1,
      id: event.upload.id,
      owner: event.owner,
      outcome,
      intent: { filename: 'photo.jpg', contentType: 'image/jpeg', size: 5, preset: 'default' },
      arrival: { etag: 'etag', size: 5 },
      recipe: 'recipe',
      findings: {},
      variants: [],
      eventId: event.id,
      createdAt: event.at,
      finishedAt: event.at,
    }
    await s3.send(
      new PutObjectCommand({
        Bucket: bucket,
        Key: `manifests/${event.owner}/${event.upload.id}.json`,
        Body: JSON.stringify(manifest),
      }),
    )
  }
}

const stateOf = {
  'upload.received': 'received',
  'upload.ready': 'ready',
  'upload.rejected': 'rejected',
  'upload.failed': 'failed',
} as const

function uploadOf({ owner, id }: UploadAddress, type: keyof typeof stateOf): Upload {
  const now = new Date().toISOString()
  return {
    owner,
    id,
    state: stateOf[type],
    intent: { filename: 'photo.jpg', contentType: 'image/jpeg', size: 5, preset: 'default' },
    findings: {},
    variants: [],
    createdAt: now,
    updatedAt: now,
  }
}

/** Returns a secret in the form of Standard Webhooks. */
export function newSecret(): Webhook['secrets'][number] {
  return { secret: `whsec_${randomBytes(32).toString('base64')}`, createdAt: new Date().toISOString() }
}

/** Looks at once, and then after steps, until it finds something. Steps while it looks cause one further look. */
async function untilFound<Found>(
  steps: EventEmitter,
  look: () => Promise<Found | undefined>,
): Promise<Found> {
  let next = Promise.withResolvers<void>()
  const onStep = () => next.resolve()
  steps.on('step', onStep)
  try {
    for (;;) {
      next = Promise.withResolvers<void>()
      const found = await look()
      if (found !== undefined) return found
      await next.promise
    }
  } finally {
    steps.off('step', onStep)
  }
}

async function unexpected(): Promise<never> {
  throw new Error('There is no such job in this test.')
}
