import { Resolver } from 'node:dns'
import { availableParallelism, hostname } from 'node:os'
import { publishPeriodMs } from '@millrace/shared/fleet/queue-load.ts'
import { presetVariables, readPresets } from '@millrace/shared/presets/read-presets.ts'
import { type Environment, EnvironmentError, readEnvironment } from '@millrace/shared/service/environment.ts'
import { readUploadLimits, uploadLimitVariables } from '@millrace/shared/uploads/upload-limits.ts'
import Type from 'typebox'
import { libraryPixelLimit } from './images/sharp-setup.ts'
import { isAddressBlock } from './imports/public-address.ts'

const mebibyte = 1024 * 1024

const schema = Type.Object({
  ...uploadLimitVariables,
  REDIS_URL: Type.String({ pattern: '^rediss?://' }),
  REDIS_PREFIX: Type.String({ default: 'millrace', pattern: '^[A-Za-z0-9_-]+$' }),
  BUCKET: Type.String(),
  BUCKET_REPLICATED: Type.Boolean({ default: false }),
  EVENTS_QUEUE_URL: Type.String({ pattern: '^https?://' }),
  LOG_LEVEL: Type.Enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], { default: 'info' }),
  INSTANCE: Type.String({ default: `${hostname()}-${process.pid}` }),
  ...presetVariables,
  // Two images a core: while one waits for S3 the other one computes (measured on 2 cores).
  WORKER_SLOTS: Type.Integer({ minimum: 1, maximum: 256, default: 2 * availableParallelism() }),
  DRAIN_DEADLINE_MS: Type.Integer({ minimum: 0, maximum: 3_600_000, default: 25_000 }),
  // On an instance of an Auto Scaling group; without it no notices are watched for.
  TERMINATION_HOOK: Type.Optional(Type.String()),
  AWS_EC2_METADATA_SERVICE_ENDPOINT: Type.String({ default: 'http://169.254.169.254', pattern: '^http://' }),
  // AWS recommends every 5 seconds for Spot notices, which come two minutes ahead.
  NOTICE_INTERVAL_MS: Type.Integer({ minimum: 10, maximum: 60_000, default: 5_000 }),
  // A job takes a second; what takes this long is an import, a huge image, or stuck.
  LONG_WORK_MS: Type.Integer({ minimum: 10, maximum: 3_600_000, default: 30_000 }),
  HEALTH_PORT: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
  METRICS_STAGE: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]+$' })),
  PUBLISH_PERIOD_MS: Type.Integer({ minimum: 100, default: publishPeriodMs }),
  RECONCILE_INTERVAL_MS: Type.Integer({ minimum: 1_000, default: 600_000 }),
  MAX_IMAGE_BYTES: Type.Integer({ minimum: 1, maximum: 4096 * mebibyte, default: 256 * mebibyte }),
  MAX_IMAGE_PIXELS: Type.Integer({ minimum: 1, maximum: libraryPixelLimit, default: libraryPixelLimit }),
  IMPORT_SLOTS: Type.Integer({ minimum: 1, maximum: 256, default: 8 }),
  IMPORT_ALLOWED_NETWORKS: Type.String({ default: '' }),
  IMPORT_DNS_SERVERS: Type.String({ default: '' }),
  IMPORT_SILENCE_MS: Type.Integer({ minimum: 100, default: 30_000 }),
  IMPORT_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 24 * 3_600_000, default: 3_600_000 }),
})

/**
 * Reads the worker's settings.
 * @throws EnvironmentError that names every variable which is missing or wrong
 */
export function readConfig(environment: Environment) {
  const values = readEnvironment(schema, environment)
  return Object.freeze({
    redisUrl: values.REDIS_URL,
    redisPrefix: values.REDIS_PREFIX,
    bucket: values.BUCKET,
    /** Whether the bucket and those of other regions copy to each other. */
    bucketReplicated: values.BUCKET_REPLICATED,
    eventsQueueUrl: values.EVENTS_QUEUE_URL,
    logLevel: values.LOG_LEVEL,
    instance: values.INSTANCE,
    presets: readPresets(values),
    slots: values.WORKER_SLOTS,
    drainDeadlineMs: values.DRAIN_DEADLINE_MS,
    /** The name of the group's termination lifecycle hook; undefined where there is no group. */
    terminationHook: values.TERMINATION_HOOK,
    metadataEndpoint: values.AWS_EC2_METADATA_SERVICE_ENDPOINT.replace(/\/+$/, ''),
    noticeIntervalMs: values.NOTICE_INTERVAL_MS,
    /** How old the oldest work has to be for the group to spare the instance. */
    longWorkMs: values.LONG_WORK_MS,
    /** Undefined: no health server. */
    healthPort: values.HEALTH_PORT,
    /** Whose metrics go to CloudWatch; none: they do not. */
    metricsStage: values.METRICS_STAGE,
    publishPeriodMs: values.PUBLISH_PERIOD_MS,
    reconcileIntervalMs: values.RECONCILE_INTERVAL_MS,
    maxImageBytes: values.MAX_IMAGE_BYTES,
    maxImagePixels: values.MAX_IMAGE_PIXELS,
    ...readUploadLimits(values),
    importSlots: values.IMPORT_SLOTS,
    /** Of sources that may be fetched from although they are not public. */
    importAllowedNetworks: readList(
      'IMPORT_ALLOWED_NETWORKS',
      values.IMPORT_ALLOWED_NETWORKS,
      isAddressBlock,
      'addresses or networks such as 10.0.0.0/8',
    ),
    /** Asked for the addresses of sources; none: those of the system. */
    importDnsServers: readList(
      'IMPORT_DNS_SERVERS',
      values.IMPORT_DNS_SERVERS,
      isServer,
      'addresses, each with a port if it is not 53',
    ),
    importSilenceMs: values.IMPORT_SILENCE_MS,
    importTimeoutMs: values.IMPORT_TIMEOUT_MS,
  })
}

export type Config = ReturnType<typeof readConfig>

function readList(name: string, text: string, isItem: (item: string) => boolean, form: string): string[] {
  const items = text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
  if (!items.every(isItem)) throw new EnvironmentError(`${name} must be ${form}.`)
  return items
}

function isServer(text: string): boolean {
  try {
    new Resolver().setServers([text])
    return true
  } catch {
    return false
  }
}
