import { availableParallelism } from 'node:os'
import { builtInPresets } from '@millrace/shared/presets/preset.ts'
import { readConfig } from '@millrace/worker/config.ts'
import * as assert from 'uvu/assert'
import { suite } from '../support/suite.ts'

const test = suite('worker config')

const needed = {
  REDIS_URL: 'redis://127.0.0.1:6379',
  BUCKET: 'millrace',
  EVENTS_QUEUE_URL: 'http://127.0.0.1:9324/000000000000/events',
}

test('has a default for all but the addresses', () => {
  const { instance, ...config } = readConfig(needed)
  assert.ok(instance.endsWith(`-${process.pid}`))
  assert.equal(config, {
    redisUrl: needed.REDIS_URL,
    redisPrefix: 'millrace',
    bucket: 'millrace',
    bucketReplicated: false,
    eventsQueueUrl: needed.EVENTS_QUEUE_URL,
    logLevel: 'info',
    presets: builtInPresets,
    slots: 2 * availableParallelism(),
    drainDeadlineMs: 25_000,
    terminationHook: undefined,
    metadataEndpoint: 'http://169.254.169.254',
    noticeIntervalMs: 5_000,
    longWorkMs: 30_000,
    healthPort: undefined,
    reconcileIntervalMs: 600_000,
    metricsStage: undefined,
    publishPeriodMs: 10_000,
    maxImageBytes: 256 * 1024 * 1024,
    maxImagePixels: 268_402_689,
    maxUploadBytes: 5 * 1024 ** 4,
    quota: {
      bytesTotal: undefined,
      filesTotal: undefined,
      bytesPerDay: undefined,
      filesPerDay: undefined,
    },
    importAllowedPorts: [80, 443],
    importSlots: 8,
    importAllowedNetworks: [],
    importDnsServers: [],
    importSilenceMs: 30_000,
    importTimeoutMs: 3_600_000,
  })
})

test('names every variable that is wrong, and no value', () => {
  const wrong = {
    REDIS_URL: 'http://secret@host',
    WORKER_SLOTS: '0',
    LOG_LEVEL: 'loud',
    MAX_IMAGE_PIXELS: '268402690',
    DRAIN_DEADLINE_MS: 'soon',
  }
  assert.throws(
    () => readConfig(wrong),
    (error: Error) => {
      const names = [...Object.keys(wrong), 'BUCKET', 'EVENTS_QUEUE_URL']
      assert.equal(
        names.filter((name) => !error.message.includes(name)),
        [],
      )
      return !/secret|loud|soon|268402690/.test(error.message)
    },
  )
})

test('takes networks and name servers as lists, and nothing that is neither', () => {
  const config = readConfig({
    ...needed,
    IMPORT_ALLOWED_NETWORKS: '10.0.0.0/8, fd00::/8,192.168.7.9',
    IMPORT_ALLOWED_PORTS: '80, 8080',
    IMPORT_DNS_SERVERS: '127.0.0.1:5353,[::1]:53',
  })
  assert.equal(config.importAllowedNetworks, ['10.0.0.0/8', 'fd00::/8', '192.168.7.9'])
  assert.equal(config.importAllowedPorts, [80, 8080])
  assert.equal(config.importDnsServers, ['127.0.0.1:5353', '[::1]:53'])
  const wrong: [string, string][] = [
    ['IMPORT_ALLOWED_NETWORKS', 'localhost'],
    ['IMPORT_ALLOWED_NETWORKS', '10.0.0.0/33'],
    ['IMPORT_ALLOWED_NETWORKS', '0x7f.1'],
    ['IMPORT_ALLOWED_PORTS', 'http'],
    ['IMPORT_DNS_SERVERS', 'dns.example'],
  ]
  for (const [name, value] of wrong) {
    assert.throws(
      () => readConfig({ ...needed, [name]: value }),
      (error: Error) => error.message.includes(name) && !error.message.includes(value),
      `${name}=${value}`,
    )
  }
})

test.run()
