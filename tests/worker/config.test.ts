import { availableParallelism, totalmem } from 'node:os'
import { builtInPresets } from '@millrace/shared/presets/preset.ts'
import { EnvironmentError } from '@millrace/shared/service/environment.ts'
import { readConfig } from '@millrace/worker/config.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('worker config')

const required = {
  REDIS_URL: 'redis://127.0.0.1:6379',
  BUCKET: 'millrace',
  EVENTS_QUEUE_URL: 'http://127.0.0.1:9324/000000000000/events',
}

test('worker config requires addresses and the bucket only', () => {
  const { instance, decoderMemoryBytes, ...config } = readConfig(required)
  assert.ok(decoderMemoryBytes >= 256 * 1024 ** 2 && decoderMemoryBytes < totalmem())
  assert.ok(instance.endsWith(`-${process.pid}`))
  assert.equal(config, {
    redisUrl: required.REDIS_URL,
    redisPrefix: 'millrace',
    bucket: 'millrace',
    bucketReplicated: false,
    eventsQueueUrl: required.EVENTS_QUEUE_URL,
    deadLetterQueueUrl: undefined,
    maxQueuedJobs: 10_000,
    logLevel: 'info',
    presets: builtInPresets,
    slots: 2 * availableParallelism(),
    drainDeadlineMs: 25_000,
    terminationHook: undefined,
    metadataEndpoint: 'http://169.254.169.254',
    noticeIntervalMs: 5_000,
    longWorkMs: 30_000,
    healthPort: undefined,
    arrivalLeaseMs: 60_000,
    reconcileIntervalMs: 86_400_000,
    metricsHost: '127.0.0.1',
    metricsPort: undefined,
    metricsStage: undefined,
    publishPeriodMs: 10_000,
    maxImageBytes: 256 * 1024 * 1024,
    maxImagePixels: 100_000_000,
    disabledTypes: [],
    maxUploadBytes: 5 * 1024 ** 4,
    quota: {
      bytesTotal: undefined,
      filesTotal: undefined,
      bytesPerDay: undefined,
      filesPerDay: undefined,
    },
    addressQuota: { bytesPerDay: undefined, filesPerDay: undefined },
    maxBufferedBytes: 256 * 1024 ** 2,
    decoderCpuLimitMs: 60_000,
    decoderTimeLimitMs: 300_000,
    decoderPreload: undefined,
    ffmpeg: undefined,
    importAllowedPorts: [80, 443],
    webhookAllowedNetworks: [],
    importSlots: 8,
    importSlotsPerOwner: 4,
    importAllowedNetworks: [],
    importDnsServers: [],
    importIdleTimeoutMs: 30_000,
    importTimeoutMs: 3_600_000,
    importMinBytesPerSecond: 10_240,
    tracing: undefined,
    scan: { clamd: undefined, inspector: undefined },
    cdnDistributionId: undefined,
  })
})

test('worker config takes addresses of clamd and the inspector', () => {
  const { scan } = readConfig({
    ...required,
    CLAMD_URL: 'tcp://clamd:3310',
    SCAN_LARGE_FILES: 'accept',
    INSPECT_URL: 'https://inspector.example/files',
    INSPECT_SECRET: `whsec_${Buffer.alloc(24, 7).toString('base64')}`,
  })
  assert.equal(scan, {
    clamd: {
      address: { host: 'clamd', port: 3310 },
      timeoutMs: 180_000,
      slots: 8,
      maxBytes: 104_857_600,
      largeFiles: 'accept',
    },
    inspector: { url: 'https://inspector.example/files', secret: Buffer.alloc(24, 7), timeoutMs: 30_000 },
  })
  const wrong = { CLAMD_URL: 'clamd:3310', SCAN_LARGE_FILES: 'skip', INSPECT_SECRET: 'whsec_short' }
  assert.throws(
    () => readConfig({ ...required, ...wrong }),
    (error: unknown) => error instanceof EnvironmentError && error.problems.length === 3,
  )
})

test('worker config reports every wrong variable and hides the value of REDIS_URL', () => {
  const wrong = {
    REDIS_URL: 'http://secret@host',
    WORKER_SLOTS: '0',
    LOG_LEVEL: 'loud',
    MAX_IMAGE_PIXELS: '268402690',
    DRAIN_DEADLINE_MS: 'soon',
  }
  assert.throws(
    () => readConfig(wrong),
    (error: unknown) => {
      const problems = error instanceof EnvironmentError ? [...error.problems] : []
      assert.equal(problems.sort(), [
        'BUCKET is missing.',
        'DRAIN_DEADLINE_MS is "soon"; it must be an integer from 0 to 3600000.',
        'EVENTS_QUEUE_URL is missing.',
        'LOG_LEVEL is "loud"; allowed: trace, debug, info, warn, error, fatal, silent.',
        'MAX_IMAGE_PIXELS is 268402690; it must be an integer from 1 to 268402689.',
        'REDIS_URL must be a redis:// or rediss:// URL.',
        'WORKER_SLOTS is 0; it must be an integer from 1 to 256.',
      ])
      return true
    },
  )
})

test('an owner may use half of the import slots, or as many as are set', () => {
  const slotsOf = (variables: Record<string, string>) =>
    readConfig({ ...required, ...variables }).importSlotsPerOwner
  assert.is(slotsOf({ IMPORT_SLOTS: '5' }), 3)
  assert.is(slotsOf({ IMPORT_SLOTS: '1' }), 1)
  assert.is(slotsOf({ IMPORT_SLOTS: '8', IMPORT_SLOTS_PER_OWNER: '2' }), 2)
  assert.is(slotsOf({ IMPORT_SLOTS: '2', IMPORT_SLOTS_PER_OWNER: '8' }), 2)
})

test('worker config reads networks, ports and DNS servers as lists', () => {
  const config = readConfig({
    ...required,
    IMPORT_ALLOWED_NETWORKS: '10.0.0.0/8, fd00::/8,192.168.7.9',
    IMPORT_ALLOWED_PORTS: '80, 8080',
    IMPORT_DNS_SERVERS: '127.0.0.1:5353,[::1]:53',
  })
  assert.equal(config.importAllowedNetworks, ['10.0.0.0/8', 'fd00::/8', '192.168.7.9'])
  assert.equal(config.importAllowedPorts, [80, 8080])
  assert.equal(config.importDnsServers, ['127.0.0.1:5353', '[::1]:53'])
})

test('worker config reports wrong items of lists', () => {
  const networks = 'addresses or networks such as 10.0.0.0/8, comma separated'
  const wrong: [name: string, value: string, allowed: string][] = [
    ['IMPORT_ALLOWED_NETWORKS', 'localhost', networks],
    ['IMPORT_ALLOWED_NETWORKS', '10.0.0.0/33', networks],
    ['IMPORT_ALLOWED_NETWORKS', '0x7f.1', networks],
    ['IMPORT_ALLOWED_PORTS', 'http', 'ports from 1 to 65535, comma separated'],
    ['IMPORT_ALLOWED_PORTS', '80,0', 'ports from 1 to 65535, comma separated'],
    ['IMPORT_DNS_SERVERS', 'dns.example', 'addresses, each with a port if it is not 53, comma separated'],
  ]
  for (const [name, value, allowed] of wrong) {
    assert.throws(
      () => readConfig({ ...required, [name]: value }),
      (error: Error) => error.message === `${name} is "${value}"; it must be ${allowed}.`,
      `${name}=${value}`,
    )
  }
})

test.run()
