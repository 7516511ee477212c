import type { S3Client } from '@aws-sdk/client-s3'
import { createUploadQueue, type UploadQueue } from '@millrace/shared/jobs/process-upload-job.ts'
import { createLifecycle } from '@millrace/shared/lifecycle/lifecycle.ts'
import type { QuotaLimits } from '@millrace/shared/quotas/quota-reservations.ts'
import type { WebhookEvent } from '@millrace/shared/webhooks/webhook-event.ts'
import type { Redis } from 'ioredis'
import { pino } from 'pino'

/** No quota. */
const quotaLimits = {
  bytesTotal: undefined,
  filesTotal: undefined,
  bytesPerDay: undefined,
  filesPerDay: undefined,
}

/** Composes the parts that both tiers share, as `app.ts` of either does, on the services of a test. */
export function createTestLifecycle(
  deps: {
    redis: Redis
    prefix: string
    s3: S3Client
    bucket: string
    queue?: UploadQueue
    hasCdn?: boolean
  },
  limits: QuotaLimits = {},
  announceEvent?: (event: WebhookEvent) => Promise<void>,
) {
  const { redis, prefix, queue = createUploadQueue({ redis, prefix }) } = deps
  return createLifecycle({
    ...deps,
    streamingS3: deps.s3,
    queue,
    announceEvent,
    quotaLimits: { ...quotaLimits, ...limits },
    addressQuotaLimits: {},
    maxBufferedBytes: 64 * 1024 ** 2,
    log: pino({ level: 'silent' }),
  })
}
