import { hostname } from 'node:os'
import Type, { type Static, type TObject } from 'typebox'
import { publishPeriodMs } from '../fleet/queue-load.ts'
import { defaultMaxQueuedJobs, highestMaxQueuedJobs } from '../jobs/process-upload-job.ts'
import { isAddressBlock } from '../network/address-block.ts'
import { presetVariables } from '../presets/read-presets.ts'
import { listVariable, splitList } from '../service/environment.ts'
import { tracingVariables } from '../tracing/tracing-variables.ts'

const MiB = 1024 ** 2
const TiB = 1024 ** 4
const Quota = Type.Optional(Type.Integer({ minimum: 0 }))

/** An http:// or https:// URL of another service. */
export const ServiceUrl = Type.String({
  pattern: '^https?://',
  description: 'an http:// or https:// URL',
})

/**
 * A name that is part of Redis keys or of metrics. BullMQ separates the parts of its keys with colons, and Redis
 * Cluster hashes only what is between braces, so a name contains neither.
 */
const Name = { pattern: '^[A-Za-z0-9_-]+$', description: 'letters, digits, "-" and "_"', showValue: true }

/** The variables that API and workers both read. */
export const serviceVariables = {
  REDIS_URL: Type.String({ pattern: '^rediss?://', description: 'a redis:// or rediss:// URL' }),
  REDIS_PREFIX: Type.String({ default: 'millrace', ...Name }),
  BUCKET: Type.String({ minLength: 3, showValue: true }),
  BUCKET_REPLICATED: Type.Boolean({ default: false }),
  EVENTS_QUEUE_URL: ServiceUrl,
  DEAD_LETTER_QUEUE_URL: Type.Optional(ServiceUrl),
  MAX_QUEUED_JOBS: Type.Integer({ minimum: 1, maximum: highestMaxQueuedJobs, default: defaultMaxQueuedJobs }),
  INSTANCE: Type.String({ default: `${hostname()}-${process.pid}` }),
  LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], { default: 'info' }),
  ...presetVariables,
  MAX_UPLOAD_BYTES: Type.Integer({ default: 5 * TiB, minimum: 1, maximum: 5 * TiB }),
  QUOTA_BYTES_TOTAL: Quota,
  QUOTA_FILES_TOTAL: Quota,
  QUOTA_BYTES_PER_DAY: Quota,
  QUOTA_FILES_PER_DAY: Quota,
  QUOTA_BYTES_PER_DAY_PER_ADDRESS: Quota,
  QUOTA_FILES_PER_DAY_PER_ADDRESS: Quota,
  MAX_BUFFERED_BYTES: Type.Integer({ default: 256 * MiB, minimum: 32 * MiB }),
  IMPORT_ALLOWED_PORTS: listVariable(isPort, 'ports from 1 to 65535', '80,443'),
  WEBHOOK_ALLOWED_NETWORKS: listVariable(isAddressBlock, 'addresses or networks such as 10.0.0.0/8'),
  METRICS_HOST: Type.String({ default: '127.0.0.1' }),
  METRICS_PORT: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
  METRICS_STAGE: Type.Optional(Type.String(Name)),
  PUBLISH_PERIOD_MS: Type.Integer({ default: publishPeriodMs, minimum: 100 }),
  ...tracingVariables,
}

/** Returns the settings of the variables that API and workers both read, without the presets. */
export function serviceSettings(variables: Static<TObject<typeof serviceVariables>>) {
  return {
    redisUrl: variables.REDIS_URL,
    redisPrefix: variables.REDIS_PREFIX,
    bucket: variables.BUCKET,
    /** Whether this bucket and those of other regions replicate to each other. */
    bucketReplicated: variables.BUCKET_REPLICATED,
    eventsQueueUrl: variables.EVENTS_QUEUE_URL,
    /** Where SQS moves events that were received too often; undefined: not known. */
    deadLetterQueueUrl: variables.DEAD_LETTER_QUEUE_URL,
    /** Jobs in Redis; further uploads wait in SQS. */
    maxQueuedJobs: variables.MAX_QUEUED_JOBS,
    instance: variables.INSTANCE,
    logLevel: variables.LOG_LEVEL,
    maxUploadBytes: variables.MAX_UPLOAD_BYTES,
    /** Limits of each owner; undefined: no limit. */
    quota: {
      bytesTotal: variables.QUOTA_BYTES_TOTAL,
      filesTotal: variables.QUOTA_FILES_TOTAL,
      bytesPerDay: variables.QUOTA_BYTES_PER_DAY,
      filesPerDay: variables.QUOTA_FILES_PER_DAY,
    },
    /** Limits of the uploads of sessions from one address; undefined: no limit. */
    addressQuota: {
      bytesPerDay: variables.QUOTA_BYTES_PER_DAY_PER_ADDRESS,
      filesPerDay: variables.QUOTA_FILES_PER_DAY_PER_ADDRESS,
    },
    /** Bytes of files that this process holds in memory at once, while they wait to be sent to S3. */
    maxBufferedBytes: variables.MAX_BUFFERED_BYTES,
    /** Ports of the servers that files are imported from. */
    importAllowedPorts: splitList(variables.IMPORT_ALLOWED_PORTS).map(Number),
    /** Addresses that are not public and to which webhooks may be sent nevertheless. */
    webhookAllowedNetworks: splitList(variables.WEBHOOK_ALLOWED_NETWORKS),
    /** Where `GET /metrics` is served without authentication; undefined: nowhere. */
    metricsHost: variables.METRICS_HOST,
    metricsPort: variables.METRICS_PORT,
    /** The stage under which metrics are written to CloudWatch; undefined: none are written. */
    metricsStage: variables.METRICS_STAGE,
    publishPeriodMs: variables.PUBLISH_PERIOD_MS,
  }
}

function isPort(text: string): boolean {
  return /^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535
}
