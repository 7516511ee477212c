import { createPrivateKey } from 'node:crypto'
import { getHeapStatistics } from 'node:v8'
import { ServiceUrl, serviceSettings, serviceVariables } from '@millrace/shared/config/service-variables.ts'
import { defaultUploadIdleTimeoutMs } from '@millrace/shared/connections/connection-timeouts.ts'
import { isAddressBlock } from '@millrace/shared/network/address-block.ts'
import { isOriginPattern, originForms, readOriginPatterns } from '@millrace/shared/network/allowed-origins.ts'
import { readPresets } from '@millrace/shared/presets/read-presets.ts'
import {
  type Environment,
  listVariable,
  openEnvironment,
  splitList,
} from '@millrace/shared/service/environment.ts'
import { readTracingSettings } from '@millrace/shared/tracing/tracing-variables.ts'
import Type from 'typebox'
import { readApiKeys } from './credentials/api-keys.ts'
import { jwtDependencies, jwtVariables, readJwtSettings } from './credentials/jwt-settings.ts'
import type { Cdn } from './signing/sign-cdn-url.ts'

/** Above this, V8 spends most of its time on garbage collection. */
const defaultHeapBytes = Math.floor(getHeapStatistics().heap_size_limit * 0.9)

const sessionKeyBytes = 32

/** The API's variables. In addition, AWS clients read the SDK's own variables. */
const Variables = Type.Object(
  {
    ...serviceVariables,
    HOST: Type.String({ default: '127.0.0.1' }),
    PORT: Type.Integer({ default: 3000, minimum: 0, maximum: 65_535 }),
    PUBLIC_ORIGIN: Type.Refine(
      Type.String({
        pattern: '^https?://[^/?#]+(?:/[A-Za-z0-9_-]+)*$',
        description:
          'an http:// or https:// origin, or one with a path of letters, digits, - and _ and without a slash at its end',
      }),
      (text) => URL.canParse(text),
    ),
    S3_PUBLIC_ENDPOINT: Type.Optional(ServiceUrl),
    SESSION_KEYS: Type.Refine(
      Type.String({
        pattern: '^[A-Za-z0-9+/=]{44}(,[A-Za-z0-9+/=]{44})*$',
        description: 'keys of 32 bytes each in base64, comma separated',
      }),
      (text) => readSessionKeys(text).every((key) => key.length === sessionKeyBytes),
    ),
    API_KEYS: Type.String({ default: '' }),
    ...jwtVariables,
    SESSION_TTL_MS: Type.Integer({ default: 30 * 24 * 60 * 60 * 1000, minimum: 60_000 }),
    UPLOAD_IDLE_TIMEOUT_MS: Type.Integer({ default: defaultUploadIdleTimeoutMs, minimum: 100 }),
    ANONYMOUS_UPLOADS: Type.Enum(['on', 'off'], { default: 'off' }),
    ALLOWED_HOSTS: listVariable(isHost, 'host names or IP addresses, such as files.example or 192.0.2.7'),
    ALLOWED_ORIGINS: listVariable(isOriginPattern, originForms),
    MAX_UPLOADS: Type.Integer({ default: 1_000, minimum: 1 }),
    MAX_UPLOADS_PER_OWNER: Type.Integer({ default: 200, minimum: 0 }),
    MAX_UPLOADS_PER_ADDRESS: Type.Integer({ default: 200, minimum: 0 }),
    MIN_UPLOAD_BYTES_PER_SECOND: Type.Integer({ default: 1_024, minimum: 0 }),
    MAX_EVENT_STREAMS: Type.Integer({ default: 2_000, minimum: 1 }),
    MAX_EVENT_STREAMS_PER_OWNER: Type.Integer({ default: 100, minimum: 0 }),
    MAX_EVENT_STREAMS_PER_ADDRESS: Type.Integer({ default: 500, minimum: 0 }),
    MAX_UNFINISHED_UPLOADS_PER_OWNER: Type.Integer({ default: 10_000, minimum: 0 }),
    MAX_UNFINISHED_UPLOADS_PER_ADDRESS: Type.Integer({ default: 1_000, minimum: 0 }),
    MAX_NEW_OWNERS_PER_ADDRESS_PER_HOUR: Type.Integer({ default: 1_000, minimum: 0 }),
    RATE_LIMIT_PER_MINUTE: Type.Integer({ default: 3_000, minimum: 0 }),
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: Type.Integer({ default: 6_000, minimum: 0 }),
    RATE_LIMIT_TIMEOUT_MS: Type.Integer({ default: 100, minimum: 1 }),
    TRUSTED_PROXIES: listVariable(isAddressBlock, 'addresses or networks such as 10.0.0.0/8'),
    PROXY_PROTOCOL: Type.Boolean({ default: false }),
    CLOSE_DELAY_MS: Type.Integer({ default: 0, minimum: 0, maximum: 3_600_000 }),
    HEADERS_TIMEOUT_MS: Type.Integer({ default: 20_000, minimum: 100 }),
    SLOW_BODY_MS: Type.Integer({ default: 20_000, minimum: 100 }),
    MAX_EVENT_LOOP_DELAY_MS: Type.Integer({ default: 1_000, minimum: 0 }),
    MAX_HEAP_USED_BYTES: Type.Integer({ default: defaultHeapBytes, minimum: 0 }),
    MAX_RSS_BYTES: Type.Integer({ default: 0, minimum: 0 }),
    OPEN_ADMIN: Type.Boolean({ default: false }),
    CONSOLE_DIRECTORY: Type.Optional(Type.String()),
    CDN_ORIGIN: Type.Optional(
      Type.String({ pattern: '^https://[^/]+$', description: 'an https:// origin without a path' }),
    ),
    CDN_KEY_PAIR_ID: Type.Optional(Type.String()),
    // A line of an environment file cannot hold a PEM, so it is encoded in base64.
    CDN_PRIVATE_KEY: Type.Optional(
      Type.Refine(Type.String({ description: 'a private key, PEM in base64' }), (text) =>
        isPrivateKey(fromBase64(text)),
      ),
    ),
  },
  { dependentRequired: { ...jwtDependencies, CDN_ORIGIN: ['CDN_KEY_PAIR_ID', 'CDN_PRIVATE_KEY'] } },
)

/**
 * Reads the API's settings.
 *
 * @param environment usually `process.env`
 * @throws EnvironmentError with one sentence per problem, without secrets
 */
export function readConfig(environment: Environment) {
  const { text, report, complete } = openEnvironment(Variables, environment)
  const apiKeys = readApiKeys(text('API_KEYS') ?? '', report)
  const jwt = readJwtSettings(text, report)
  const presets = readPresets({ PRESETS_FILE: text('PRESETS_FILE'), PRESETS: text('PRESETS') }, report)
  const tracing = readTracingSettings(text, report)
  const variables = complete()
  return Object.freeze({
    ...serviceSettings(variables),
    presets,
    /** How traces are exported; undefined: nothing is traced. */
    tracing,
    host: variables.HOST,
    port: variables.PORT,
    ...splitPublicOrigin(variables.PUBLIC_ORIGIN),
    /** The address of S3 for clients, if it differs from the services' own. */
    s3PublicEndpoint: variables.S3_PUBLIC_ENDPOINT,
    /** The first key seals; all of them open. */
    sessionKeys: readSessionKeys(variables.SESSION_KEYS),
    apiKeys,
    /** The app's own identity provider; undefined: there is none. */
    jwt,
    sessionTtlMs: variables.SESSION_TTL_MS,
    /** How long an upload through the API may be idle before its connection is closed. */
    uploadIdleTimeoutMs: variables.UPLOAD_IDLE_TIMEOUT_MS,
    /** Whether requests without an API key may upload: each then gets a session, which owns the files. */
    anonymousUploads: variables.ANONYMOUS_UPLOADS === 'on',
    /** Hosts under which clients reach the API, in addition to `publicOrigin` and loopback. Their ports are ignored. */
    allowedHosts: splitList(variables.ALLOWED_HOSTS),
    /** Origins whose pages may call the API, in addition to `publicOrigin`. */
    allowedOrigins: readOriginPatterns(variables.ALLOWED_ORIGINS),
    /** Files that this instance receives at once. */
    uploadsAtOnce: {
      instance: variables.MAX_UPLOADS,
      owner: variables.MAX_UPLOADS_PER_OWNER,
      address: variables.MAX_UPLOADS_PER_ADDRESS,
    },
    /** The rate below which the upload of a file is ended; 0: no limit. */
    minUploadBytesPerSecond: variables.MIN_UPLOAD_BYTES_PER_SECOND,
    /** Event streams that this instance serves at once. */
    eventStreams: {
      instance: variables.MAX_EVENT_STREAMS,
      owner: variables.MAX_EVENT_STREAMS_PER_OWNER,
      address: variables.MAX_EVENT_STREAMS_PER_ADDRESS,
    },
    /** Announced uploads whose files have not arrived, over all instances; 0: no limit. */
    unfinishedUploads: {
      owner: variables.MAX_UNFINISHED_UPLOADS_PER_OWNER,
      address: variables.MAX_UNFINISHED_UPLOADS_PER_ADDRESS,
    },
    /** Sessions of one address of which something begins to be kept (identity/new-sessions.ts); 0: no limit. */
    maxNewOwnersPerAddressPerHour: variables.MAX_NEW_OWNERS_PER_ADDRESS_PER_HOUR,
    /** Requests of one session or API key, over all instances; 0: no limit. */
    rateLimitPerMinute: variables.RATE_LIMIT_PER_MINUTE,
    rateLimitPerAddressPerMinute: variables.RATE_LIMIT_PER_ADDRESS_PER_MINUTE,
    /** The timeout for counting a request. Redis needs a fraction of a millisecond; a failing Redis does not block requests. */
    rateLimitTimeoutMs: variables.RATE_LIMIT_TIMEOUT_MS,
    /** Proxies whose `X-Forwarded-For` is trusted. */
    trustedProxies: splitList(variables.TRUSTED_PROXIES),
    /** Whether connections begin with a line of the PROXY protocol, which names the client's address. */
    proxyProtocol: variables.PROXY_PROTOCOL,
    /** How long requests are still accepted after `/ready` returns 503. */
    closeDelayMs: variables.CLOSE_DELAY_MS,
    headersTimeoutMs: variables.HEADERS_TIMEOUT_MS,
    /** How long any body may take, however slowly it arrives. */
    slowBodyMs: variables.SLOW_BODY_MS,
    /** Above these limits the instance refuses requests; 0: no limit. The delay is CPU time of the instance itself. */
    maxEventLoopDelayMs: variables.MAX_EVENT_LOOP_DELAY_MS,
    maxHeapUsedBytes: variables.MAX_HEAP_USED_BYTES,
    maxRssBytes: variables.MAX_RSS_BYTES,
    /** Whether requests without a key have the scope `admin`. */
    openAdmin: variables.OPEN_ADMIN,
    consoleDirectory: variables.CONSOLE_DIRECTORY,
    /** CloudFront in front of the variants; undefined: S3 delivers them. */
    cdn: cdnSettings(variables),
  })
}

export type Config = ReturnType<typeof readConfig>

function cdnSettings(variables: {
  CDN_ORIGIN?: string
  CDN_KEY_PAIR_ID?: string
  CDN_PRIVATE_KEY?: string
}): Cdn | undefined {
  const { CDN_ORIGIN: origin, CDN_KEY_PAIR_ID: keyPairId, CDN_PRIVATE_KEY: privateKey } = variables
  if (origin === undefined || keyPairId === undefined || privateKey === undefined) return undefined
  return { origin, keyPairId, privateKey: fromBase64(privateKey) }
}

/** @param text an origin, and the path under which a reverse proxy serves the API */
function splitPublicOrigin(text: string) {
  const [publicOrigin = text] = /^https?:\/\/[^/]+/.exec(text) ?? []
  return {
    /** The origin that browsers show in their address bar. */
    publicOrigin,
    /** The path under it, such as `/media`; empty if the API has the origin for itself. */
    publicPath: text.slice(publicOrigin.length),
  }
}

function isHost(text: string): boolean {
  // URL.parse drops the default port, which is allowed here as well. A name with "*" would only match itself.
  return !text.includes('*') && URL.parse(`http://${text}`)?.host === text.toLowerCase().replace(/:80$/, '')
}

function isPrivateKey(pem: string): boolean {
  try {
    createPrivateKey(pem)
    return true
  } catch {
    return false
  }
}

function fromBase64(text: string): string {
  return Buffer.from(text, 'base64').toString()
}

function readSessionKeys(text: string): Buffer[] {
  return text.split(',').map((key) => Buffer.from(key, 'base64'))
}
