import type { S3Client } from '@aws-sdk/client-s3'
import type { Redis } from 'ioredis'
import type { Logger } from 'pino'
import type { UploadQueue } from '../jobs/process-upload-job.ts'
import { createEraseObjects, createEraseUnfinished } from '../ledger/erase-objects.ts'
import { createManifests } from '../ledger/manifest.ts'
import { createOriginals } from '../ledger/originals.ts'
import { createStoreOriginal } from '../ledger/store-original.ts'
import { createQuota } from '../quotas/quota.ts'
import { createQuotaReservations, type QuotaLimits } from '../quotas/quota-reservations.ts'
import { createRedisMemory } from '../service/redis-memory.ts'
import { createUploadRecords } from '../uploads/upload-records.ts'
import { createReceiveUpload } from './receive-upload.ts'
import { createUploadLookup } from './upload-lookup.ts'

/**
 * Composes the parts that both tiers share: the ledger in S3, the records in Redis, and the functions that
 * change both.
 *
 * @param deps.streamingS3 the client for streamed bodies
 * @param deps.queue receives a job for each upload that arrives; the caller closes it
 */
export function createLifecycle(deps: {
  redis: Redis
  prefix: string
  s3: S3Client
  streamingS3: S3Client
  bucket: string
  queue: UploadQueue
  quotaLimits: QuotaLimits
  log: Logger
}) {
  const { redis, prefix, s3, streamingS3, bucket, queue, quotaLimits, log } = deps
  const originals = createOriginals({ s3, bucket })
  const manifests = createManifests({ s3, bucket })
  const eraseObjects = createEraseObjects({ s3, bucket })
  const redisMemory = createRedisMemory({ redis })
  const records = createUploadRecords({ redis, prefix, redisMemory })
  const lookup = createUploadLookup({ records, manifests, originals })
  const quotaReservations = createQuotaReservations({ redis, prefix })
  return {
    originals,
    manifests,
    storeOriginal: createStoreOriginal({ s3, streamingS3, bucket, log }),
    eraseObjects,
    eraseUnfinished: createEraseUnfinished({ s3, bucket }),
    redisMemory,
    records,
    lookup,
    quotaReservations,
    quota: createQuota({ reservations: quotaReservations, limits: quotaLimits, originals, s3, bucket }),
    receiveUpload: createReceiveUpload({ lookup, records, originals, queue, eraseObjects }),
  }
}

export type Lifecycle = ReturnType<typeof createLifecycle>
