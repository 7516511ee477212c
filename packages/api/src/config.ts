import { createPrivateKey } from 'node:crypto'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { getHeapStatistics } from 'node:v8'
import { publishPeriodMs } from '@millrace/shared/fleet/queue-load.ts'
import { presetVariables, readPresets } from '@millrace/shared/presets/read-presets.ts'
import { type Environment, EnvironmentError, readEnvironment } from '@millrace/shared/service/environment.ts'
import { readUploadLimits, uploadLimitVariables } from '@millrace/shared/uploads/upload-limits.ts'
import Type from 'typebox'
import { readApiKeys } from './identity/api-keys.ts'
import type { Cdn } from './signing/sign-cdn-url.ts'

/** Above this V8 does little else than collect garbage. */
const defaultHeapBytes = Math.floor(getHeapStatistics().heap_size_limit * 0.9)

/** What the API reads from its environment. AWS clients read the SDK's own variables besides. */
const Variables = Type.Object({
  HOST: Type.String({ default: '127.0.0.1' }),
  PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65_535 }),
  PUBLIC_ORIGIN: Type.String({ pattern: '^https?://[^/]+$' }),
  REDIS_URL: Type.String({ pattern: '^rediss?://' }),
  REDIS_PREFIX: Type.String({ default: 'millrace' }),
  BUCKET: Type.String({ minLength: 3 }),
  BUCKET_REPLICATED: Type.Boolean({ default: false }),
  S3_PUBLIC_ENDPOINT: Type.Optional(Type.String({ pattern: '^https?://' })),
  EVENTS_QUEUE_URL: Type.String({ pattern: '^https?://' }),
  SESSION_KEYS: Type.String({ pattern: '^[A-Za-z0-9+/=]{44}(,[A-Za-z0-9+/=]{44})*$' }),
  API_KEYS: Type.String({ default: '' }),
  SESSION_TTL_MS: Type.Integer({ default: 30 * 24 * 60 * 60 * 1000, minimum: 60_000 }),
  ...presetVariables,
  ...uploadLimitVariables,
  UPLOAD_SILENCE_MS: Type.Integer({ default: 120_000, minimum: 100 }),
  RATE_LIMIT_PER_MINUTE: Type.Integer({ default: 3_000, minimum: 0 }),
  RATE_LIMIT_PER_ADDRESS_PER_MINUTE: Type.Integer({ default: 6_000, minimum: 0 }),
  RATE_LIMIT_PATIENCE_MS: Type.Integer({ default: 100, minimum: 1 }),
  TRUSTED_PROXIES: Type.String({ default: '' }),
  CLOSE_DELAY_MS: Type.Integer({ default: 0, minimum: 0, maximum: 3_600_000 }),
  HEADERS_TIMEOUT_MS: Type.Integer({ default: 20_000, minimum: 100 }),
  SLOW_BODY_MS: Type.Integer({ default: 20_000, minimum: 100 }),
  MAX_EVENT_LOOP_DELAY_MS: Type.Integer({ default: 1_000, minimum: 0 }),
  MAX_HEAP_USED_BYTES: Type.Integer({ default: defaultHeapBytes, minimum: 0 }),
  MAX_RSS_BYTES: Type.Integer({ default: 0, minimum: 0 }),
  METRICS_STAGE: Type.Optional(Type.String({ pattern: '^[A-Za-z0-9_-]+$' })),
  PUBLISH_PERIOD_MS: Type.Integer({ default: publishPeriodMs, minimum: 100 }),
  OPEN_ADMIN: Type.Boolean({ default: false }),
  CONSOLE_DIRECTORY: Type.Optional(Type.String()),
  CDN_ORIGIN: Type.Optional(Type.String({ pattern: '^https://[^/]+$' })),
  CDN_KEY_PAIR_ID: Type.String({ default: '' }),
  CDN_PRIVATE_KEY: Type.String({ default: '' }),
  INSTANCE: Type.String({ default: `${hostname()}-${process.pid}` }),
  LOG_LEVEL: Type.String({ default: 'info' }),
})

/**
 * Reads the API's settings.
 *
 * @param environment usually `process.env`
 * @throws EnvironmentError that lists every problem by the variable's name
 */
export function readConfig(environment: Environment) {
  const variables = readEnvironment(Variables, environment)
  return Object.freeze({
    host: variables.HOST,
    port: variables.PORT,
    publicOrigin: variables.PUBLIC_ORIGIN,
    redisUrl: variables.REDIS_URL,
    redisPrefix: variables.REDIS_PREFIX,
    bucket: variables.BUCKET,
    /** Whether the bucket and those of other regions copy to each other. */
    bucketReplicated: variables.BUCKET_REPLICATED,
    /** Where clients reach S3, if not where we do. */
    s3PublicEndpoint: variables.S3_PUBLIC_ENDPOINT,
    eventsQueueUrl: variables.EVENTS_QUEUE_URL,
    /** The first key seals; all of them open. */
    sessionKeys: variables.SESSION_KEYS.split(',').map(readKey),
    apiKeys: readApiKeys(variables.API_KEYS),
    sessionTtlMs: variables.SESSION_TTL_MS,
    presets: readPresets(variables),
    ...readUploadLimits(variables),
    /** How long an upload through the API may stand still before its connection is given up. */
    uploadSilenceMs: variables.UPLOAD_SILENCE_MS,
    /** Requests of one session or API key, over all instances; 0: no limit. */
    rateLimitPerMinute: variables.RATE_LIMIT_PER_MINUTE,
    rateLimitPerAddressPerMinute: variables.RATE_LIMIT_PER_ADDRESS_PER_MINUTE,
    /** How long a request waits to be counted. Redis takes a fraction of a millisecond; a sick one holds up nobody. */
    rateLimitPatienceMs: variables.RATE_LIMIT_PATIENCE_MS,
    /** Only what comes from these says truly who is behind it. */
    trustedProxies: variables.TRUSTED_PROXIES.split(',').map(readNetwork).filter(Boolean),
    /** How long requests are still taken after `/ready` has begun to say that they should not come. */
    closeDelayMs: variables.CLOSE_DELAY_MS,
    headersTimeoutMs: variables.HEADERS_TIMEOUT_MS,
    /** How long a body may take at least, however slowly it comes. */
    slowBodyMs: variables.SLOW_BODY_MS,
    /** Above these the instance refuses requests; 0: no limit. */
    maxEventLoopDelayMs: variables.MAX_EVENT_LOOP_DELAY_MS,
    maxHeapUsedBytes: variables.MAX_HEAP_USED_BYTES,
    maxRssBytes: variables.MAX_RSS_BYTES,
    /** Whose metrics go to CloudWatch; none: they do not. */
    metricsStage: variables.METRICS_STAGE,
    publishPeriodMs: variables.PUBLISH_PERIOD_MS,
    /** Whether who comes without any key may see and do what needs the scope `admin`. */
    openAdmin: variables.OPEN_ADMIN,
    consoleDirectory: variables.CONSOLE_DIRECTORY,
    /** CloudFront in front of the variants; undefined: S3 itself delivers them. */
    cdn: readCdn(variables),
    instance: variables.INSTANCE,
    logLevel: variables.LOG_LEVEL,
  })
}

export type Config = ReturnType<typeof readConfig>

/** @returns an address, a network in CIDR notation, or nothing where nothing is given */
function readNetwork(text: string): string {
  const network = text.trim()
  if (network === '') return ''
  const [address = '', bits, ...more] = network.split('/')
  const family = isIP(address)
  const inRange = bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 6 ? 128 : 32))
  if (family === 0 || !inRange || more.length > 0) {
    throw new EnvironmentError('TRUSTED_PROXIES must be addresses or networks such as 10.0.0.0/8.')
  }
  return network
}

/** One line of an environment file holds no PEM, so it comes in base64. */
function readCdn(variables: {
  CDN_ORIGIN?: string
  CDN_KEY_PAIR_ID: string
  CDN_PRIVATE_KEY: string
}): Cdn | undefined {
  const { CDN_ORIGIN: origin, CDN_KEY_PAIR_ID: keyPairId, CDN_PRIVATE_KEY: base64 } = variables
  if (origin === undefined) return undefined
  if (keyPairId === '') throw new EnvironmentError('CDN_KEY_PAIR_ID is missing.')
  const privateKey = Buffer.from(base64, 'base64').toString()
  try {
    createPrivateKey(privateKey)
  } catch {
    throw new EnvironmentError('CDN_PRIVATE_KEY must be a private key, PEM in base64.')
  }
  return { origin, keyPairId, privateKey }
}

function readKey(base64: string): Buffer {
  const key = Buffer.from(base64, 'base64')
  if (key.length !== 32) throw new EnvironmentError('SESSION_KEYS must be keys of 32 bytes each, in base64.')
  return key
}
