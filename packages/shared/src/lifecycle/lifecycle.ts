import type { S3Client } from '@aws-sdk/client-s3'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import { createRedisEpoch } from '../connections/redis-epoch.ts'
import { createRedisMemory } from '../connections/redis-memory.ts'
import { createDeleteRejectedOriginal } from '../erasure/delete-rejected-original.ts'
import { createEraseObjects, createEraseUnfinished, createListErasable } from '../erasure/erase-objects.ts'
import { createErasures } from '../erasure/erasures.ts'
import { createWithdrawals } from '../erasure/withdrawals.ts'
import type { UploadQueue } from '../jobs/process-upload-job.ts'
import { createAnnouncements } from '../ledger/announcements.ts'
import { createEdits } from '../ledger/edits.ts'
import { createManifests } from '../ledger/manifest.ts'
import { createOriginalVersions } from '../ledger/original-versions.ts'
import { createOriginals } from '../ledger/originals.ts'
import { createStoredVariants } from '../ledger/stored-variants.ts'
import { createPartBuffers } from '../parts/part-buffers.ts'
import { createSendParts } from '../parts/send-parts.ts'
import { createStoreOriginal } from '../parts/store-original.ts'
import { createAddressQuota } from '../quotas/address-quota.ts'
import { createQuota } from '../quotas/quota.ts'
import {
  type AddressQuotaLimits,
  createQuotaReservations,
  type QuotaLimits,
} from '../quotas/quota-reservations.ts'
import { createSeldomWarning } from '../service/seldom-warning.ts'
import { createTenantUsers } from '../tenants/tenant-users.ts'
import type { Tracing } from '../tracing/tracing.ts'
import { createUploadRecords } from '../uploads/upload-records.ts'
import { createDeliveryLog } from '../webhooks/delivery-log.ts'
import { createForgetDeliveries } from '../webhooks/forget-deliveries.ts'
import { createOutbox } from '../webhooks/outbox.ts'
import type { WebhookEvent } from '../webhooks/webhook-event.ts'
import { createWebhookStore } from '../webhooks/webhook-store.ts'
import { createCheckUpload } from './check-upload.ts'
import { createFinishErasure } from './finish-erasure.ts'
import { createIsErased } from './is-erased.ts'
import { createReadEvidence } from './read-evidence.ts'
import { createReceiveUpload } from './receive-upload.ts'
import { createRemoveRejectedBytes } from './remove-rejected-bytes.ts'
import { createSettleOriginal } from './settle-original.ts'
import { createTellErasure } from './tell-erasure.ts'
import { createUploadLookup } from './upload-lookup.ts'

/**
 * Composes the parts that both tiers share: the ledger in S3, the records in Redis, and the functions that
 * change both.
 *
 * @param deps.streamingS3 the client for streamed bodies
 * @param deps.queue receives a job for each upload that arrives; the caller closes it
 * @param deps.maxBufferedBytes limit of the bytes of files in memory, in bytes
 * @param deps.hasCdn whether a CDN may have copies of variants; default: there is none
 * @param deps.announceEvent adds the deliveries of an event for webhooks to their queue
 * @param deps.tracing default: nothing is traced
 */
export function createLifecycle(deps: {
  redis: Redis
  prefix: string
  s3: S3Client
  streamingS3: S3Client
  bucket: string
  queue: UploadQueue
  quotaLimits: QuotaLimits
  addressQuotaLimits: AddressQuotaLimits
  maxBufferedBytes: number
  hasCdn?: boolean
  announceEvent?: ((event: WebhookEvent) => Promise<void>) | undefined
  log: Logger
  tracing?: Tracing
}) {
  const { redis, prefix, s3, streamingS3, bucket, queue, quotaLimits, addressQuotaLimits, log } = deps
  const { tracing, hasCdn = false } = deps
  const sendParts = createSendParts({ buffers: createPartBuffers({ maxBytes: deps.maxBufferedBytes }) })
  const originals = createOriginals({ s3, bucket })
  const manifests = createManifests({ s3, bucket })
  const announcements = createAnnouncements({ s3, bucket })
  const edits = createEdits({ s3, bucket })
  const erasures = createErasures({ s3, bucket })
  const eraseObjects = createEraseObjects({ s3, bucket })
  const storedVariants = createStoredVariants({ s3, bucket })
  const withdrawals = createWithdrawals({ s3, bucket })
  const epoch = createRedisEpoch({ redis, prefix })
  const redisMemory = createRedisMemory({ redis })
  const records = createUploadRecords({ redis, prefix, epoch, redisMemory })
  const quotaReservations = createQuotaReservations({ redis, prefix })
  const addressQuota = createAddressQuota({ redis, prefix, limits: addressQuotaLimits })
  const quota = createQuota({
    reservations: quotaReservations,
    limits: quotaLimits,
    addressQuota,
    records,
    originals,
    s3,
    bucket,
  })
  const webhooks = createWebhookStore({ s3, bucket })
  const tenantUsers = createTenantUsers({ s3, bucket })
  const outbox = createOutbox({
    s3,
    bucket,
    webhooks,
    tenantUsers,
    announce: deps.announceEvent,
    log,
    tracing,
  })
  const tellErasure = createTellErasure({ records, erasures, outbox })
  const finishErasure = createFinishErasure({
    records,
    eraseObjects,
    quota,
    tellErasure,
    forgetDeliveries: createForgetDeliveries({ webhooks, deliveryLog: createDeliveryLog({ redis, prefix }) }),
    withdrawals,
    hasCdn,
  })
  const removeRejectedBytes = createRemoveRejectedBytes({
    deleteRejectedOriginal: createDeleteRejectedOriginal({ s3, bucket }),
    quotaReservations,
  })
  const originalVersions = createOriginalVersions({ s3, bucket })
  const settleOriginal = createSettleOriginal({ originals, originalVersions, manifests, quota })
  const checkUpload = createCheckUpload({
    records,
    readEvidence: createReadEvidence({ erasures, manifests, originals, announcements, edits }),
    edits,
    settleOriginal,
    queue,
    finishErasure,
    removeRejectedBytes,
    warnSeldom: createSeldomWarning({ log }),
  })
  return {
    originals,
    originalVersions,
    manifests,
    edits,
    erasures,
    listErasable: createListErasable({ s3, bucket }),
    storedVariants,
    withdrawals,
    announcements,
    sendParts,
    storeOriginal: createStoreOriginal({ s3, streamingS3, sendParts, bucket, log }),
    eraseUnfinished: createEraseUnfinished({ s3, bucket }),
    epoch,
    redisMemory,
    records,
    quotaReservations,
    quota,
    addressQuota,
    tenantUsers,
    webhooks,
    outbox,
    finishErasure,
    removeRejectedBytes,
    isErased: createIsErased({ records, erasures }),
    checkUpload,
    lookup: createUploadLookup({ records, checkUpload }),
    receiveUpload: createReceiveUpload({ records, originals, queue, settleOriginal, checkUpload, tracing }),
  }
}

export type Lifecycle = ReturnType<typeof createLifecycle>
