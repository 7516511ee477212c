import { Resolver } from 'node:dns'
import { availableParallelism, totalmem } from 'node:os'
import { ServiceUrl, serviceSettings, serviceVariables } from '@millrace/shared/config/service-variables.ts'
import { defaultLeaseMs } from '@millrace/shared/jobs/events-queue.ts'
import { isAddressBlock } from '@millrace/shared/network/address-block.ts'
import { readPresets } from '@millrace/shared/presets/read-presets.ts'
import {
  type Environment,
  listVariable,
  openEnvironment,
  type ReportProblem,
  splitList,
} from '@millrace/shared/service/environment.ts'
import { readTracingSettings } from '@millrace/shared/tracing/tracing-variables.ts'
import Type, { type Static } from 'typebox'
import { findFfmpeg } from './media/find-ffmpeg.ts'
import { libraryPixelLimit } from './pixels/library-pixel-limit.ts'
import { parseClamdUrl } from './scanning/clamd.ts'
import { inspectSecretBytes } from './scanning/inspector.ts'
import type { ScanConfig } from './scanning/scanning.ts'

const mebibyte = 1024 * 1024

/** The worker's variables. In addition, AWS clients read the SDK's own variables. */
const Variables = Type.Object({
  ...serviceVariables,
  // Two images per core: while one waits for S3, the other one computes (measured on 2 cores).
  WORKER_SLOTS: Type.Integer({ minimum: 1, maximum: 256, default: 2 * availableParallelism() }),
  DRAIN_DEADLINE_MS: Type.Integer({ minimum: 0, maximum: 3_600_000, default: 25_000 }),
  // Set on an instance of an Auto Scaling group; otherwise termination notices are not watched.
  TERMINATION_HOOK: Type.Optional(Type.String()),
  AWS_EC2_METADATA_SERVICE_ENDPOINT: Type.String({
    default: 'http://169.254.169.254',
    pattern: '^http://',
    description: 'an http:// URL',
  }),
  // AWS recommends every 5 seconds for Spot notices, which come two minutes ahead.
  NOTICE_INTERVAL_MS: Type.Integer({ minimum: 10, maximum: 60_000, default: 5_000 }),
  // A job takes a second. A job that takes this long is an import, a huge image, or stuck.
  LONG_WORK_MS: Type.Integer({ minimum: 10, maximum: 3_600_000, default: 30_000 }),
  HEALTH_PORT: Type.Optional(Type.Integer({ minimum: 0, maximum: 65_535 })),
  // An hour is far below the 12 hours that SQS allows.
  ARRIVAL_LEASE_MS: Type.Integer({ minimum: 1_000, maximum: 3_600_000, default: defaultLeaseMs }),
  CDN_DISTRIBUTION_ID: Type.Optional(Type.String()),
  RECONCILE_INTERVAL_MS: Type.Integer({ minimum: 1_000, default: 86_400_000 }),
  MAX_IMAGE_BYTES: Type.Integer({ minimum: 1, maximum: 4096 * mebibyte, default: 256 * mebibyte }),
  DISABLED_TYPES: listVariable(isMediaType, 'media types such as image/heic'),
  // Above all phones and most cameras. An animation's frames count together.
  MAX_IMAGE_PIXELS: Type.Integer({ minimum: 1, maximum: libraryPixelLimit, default: 100_000_000 }),
  // An animation of 100 MP with four variants takes some 40 s of CPU. Wall time is for a decoder that waits forever.
  DECODER_CPU_LIMIT_MS: Type.Integer({ minimum: 100, maximum: 3_600_000, default: 60_000 }),
  DECODER_TIME_LIMIT_MS: Type.Integer({ minimum: 100, maximum: 3_600_000, default: 300_000 }),
  FFMPEG: Type.Optional(Type.String()),
  DECODER_MEMORY_BYTES: Type.Integer({
    minimum: 256 * mebibyte,
    default: Math.max(256 * mebibyte, Math.floor(0.6 * availableMemory())),
  }),
  CLAMD_URL: Type.Optional(
    Type.Refine(
      Type.String({ description: 'tcp://host:port or unix:/path', showValue: true }),
      (text) => parseClamdUrl(text) !== undefined,
    ),
  ),
  // Above clamd's MaxScanTime of 120 s.
  SCAN_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 3_600_000, default: 180_000 }),
  // Below clamd's MaxThreads of 10.
  SCAN_SLOTS: Type.Integer({ minimum: 1, maximum: 256, default: 8 }),
  // clamd's StreamMaxLength and MaxFileSize (clamd.conf(5), version 1.4).
  SCAN_MAX_BYTES: Type.Integer({ minimum: 1, default: 100 * mebibyte }),
  SCAN_LARGE_FILES: Type.Enum(['reject', 'accept'], { default: 'reject' }),
  INSPECT_URL: Type.Optional(ServiceUrl),
  INSPECT_SECRET: Type.Optional(
    Type.Refine(
      Type.String({ description: 'whsec_ and 24 to 64 bytes in base64' }),
      (text) => inspectSecretBytes(text) !== undefined,
    ),
  ),
  INSPECT_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 3_600_000, default: 30_000 }),
  IMPORT_SLOTS: Type.Integer({ minimum: 1, maximum: 256, default: 8 }),
  IMPORT_SLOTS_PER_OWNER: Type.Optional(Type.Integer({ minimum: 1, maximum: 256 })),
  IMPORT_ALLOWED_NETWORKS: listVariable(isAddressBlock, 'addresses or networks such as 10.0.0.0/8'),
  IMPORT_DNS_SERVERS: listVariable(isDnsServer, 'addresses, each with a port if it is not 53'),
  IMPORT_IDLE_TIMEOUT_MS: Type.Integer({ minimum: 100, default: 30_000 }),
  IMPORT_TIMEOUT_MS: Type.Integer({ minimum: 100, maximum: 24 * 3_600_000, default: 3_600_000 }),
  // A tenth of a slow mobile connection. Servers that send files are far above it.
  IMPORT_MIN_BYTES_PER_SECOND: Type.Integer({ minimum: 0, default: 10 * 1024 }),
})

/**
 * Reads the worker's settings.
 *
 * @param environment usually `process.env`
 * @throws EnvironmentError with one sentence per problem, without secrets
 */
export function readConfig(environment: Environment) {
  const { text, report, complete } = openEnvironment(Variables, environment)
  const presets = readPresets({ PRESETS_FILE: text('PRESETS_FILE'), PRESETS: text('PRESETS') }, report)
  const ffmpeg = readFfmpeg(text('FFMPEG'), environment['PATH'], report)
  const tracing = readTracingSettings(text, report)
  const variables = complete()
  return Object.freeze({
    ...serviceSettings(variables),
    presets,
    /** How traces are exported; undefined: nothing is traced. */
    tracing,
    slots: variables.WORKER_SLOTS,
    drainDeadlineMs: variables.DRAIN_DEADLINE_MS,
    /** The name of the group's termination lifecycle hook; undefined: there is no group. */
    terminationHook: variables.TERMINATION_HOOK,
    metadataEndpoint: variables.AWS_EC2_METADATA_SERVICE_ENDPOINT.replace(/\/+$/, ''),
    noticeIntervalMs: variables.NOTICE_INTERVAL_MS,
    /** The age of the oldest job from which the instance is protected from scale-in. */
    longWorkMs: variables.LONG_WORK_MS,
    /** Undefined: no health server. */
    healthPort: variables.HEALTH_PORT,
    arrivalLeaseMs: variables.ARRIVAL_LEASE_MS,
    /** The CloudFront distribution that serves variants; undefined: there is none. */
    cdnDistributionId: variables.CDN_DISTRIBUTION_ID,
    reconcileIntervalMs: variables.RECONCILE_INTERVAL_MS,
    maxImageBytes: variables.MAX_IMAGE_BYTES,
    /** Media types that are stored without being decoded. */
    disabledTypes: splitList(variables.DISABLED_TYPES),
    maxImagePixels: variables.MAX_IMAGE_PIXELS,
    decoderCpuLimitMs: variables.DECODER_CPU_LIMIT_MS,
    decoderTimeLimitMs: variables.DECODER_TIME_LIMIT_MS,
    /** Memory that files and decoders use together, in bytes. */
    decoderMemoryBytes: variables.DECODER_MEMORY_BYTES,
    /** The memory allocator that the worker itself was started with, for its decoders; undefined: the system's. */
    decoderPreload: environment['LD_PRELOAD'],
    scan: scanSettings(variables),
    /** Path of the program that decodes frames of videos; undefined: videos get no poster. */
    ffmpeg,
    importSlots: variables.IMPORT_SLOTS,
    /** Slots of this worker that imports of one owner use at once. Half by default, so others always find some. */
    importSlotsPerOwner: Math.min(
      variables.IMPORT_SLOTS,
      variables.IMPORT_SLOTS_PER_OWNER ?? Math.ceil(variables.IMPORT_SLOTS / 2),
    ),
    /** Addresses that are not public and from which files may be imported nevertheless. */
    importAllowedNetworks: splitList(variables.IMPORT_ALLOWED_NETWORKS),
    /** DNS servers that resolve the hosts of sources; none: the system's. */
    importDnsServers: splitList(variables.IMPORT_DNS_SERVERS),
    importIdleTimeoutMs: variables.IMPORT_IDLE_TIMEOUT_MS,
    importTimeoutMs: variables.IMPORT_TIMEOUT_MS,
    /** Lowest rate of a source, measured over `importIdleTimeoutMs`; 0: no limit. */
    importMinBytesPerSecond: variables.IMPORT_MIN_BYTES_PER_SECOND,
  })
}

export type Config = ReturnType<typeof readConfig>

function scanSettings(variables: Static<typeof Variables>): ScanConfig {
  const { CLAMD_URL: clamdUrl, INSPECT_URL: url, INSPECT_SECRET: secret } = variables
  const address = clamdUrl === undefined ? undefined : parseClamdUrl(clamdUrl)
  return {
    clamd: address && {
      address,
      timeoutMs: variables.SCAN_TIMEOUT_MS,
      slots: variables.SCAN_SLOTS,
      maxBytes: variables.SCAN_MAX_BYTES,
      largeFiles: variables.SCAN_LARGE_FILES,
    },
    inspector:
      url === undefined
        ? undefined
        : {
            url,
            secret: secret === undefined ? undefined : inspectSecretBytes(secret),
            timeoutMs: variables.INSPECT_TIMEOUT_MS,
          },
  }
}

/** Returns the memory that this process may use, in bytes: of its container or else of the machine. */
function availableMemory(): number {
  const constrained = process.constrainedMemory()
  // Without a limit, cgroups report an enormous number and other systems 0.
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem()
}

function readFfmpeg(setting: string | undefined, searchPath: string | undefined, report: ReportProblem) {
  try {
    return findFfmpeg(setting, searchPath)
  } catch (error) {
    report(error instanceof Error ? error.message : String(error))
    return undefined
  }
}

function isMediaType(text: string): boolean {
  return /^[a-z]+\/[a-z0-9][a-z0-9.+-]*$/.test(text)
}

function isDnsServer(text: string): boolean {
  try {
    new Resolver().setServers([text])
    return true
  } catch {
    return false
  }
}
