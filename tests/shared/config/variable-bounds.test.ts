import { readFileSync } from 'node:fs'
import { readConfig as readApiConfig } from '@millrace/api/config.ts'
import { EnvironmentError } from '@millrace/shared/service/environment.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('bounds of variables')

const required = {
  PUBLIC_ORIGIN: 'http://localhost:3000',
  REDIS_URL: 'redis://localhost',
  BUCKET: 'bucket',
  EVENTS_QUEUE_URL: 'http://localhost/queue',
  SESSION_KEYS: Buffer.alloc(32).toString('base64'),
}
const MiB = 1024 ** 2
const hourMs = 3_600_000
const none = Number.POSITIVE_INFINITY

type Bounds = readonly [service: 'both' | 'api' | 'worker', min: number, max: number]

/** The smallest and the largest value of each number that a service reads. */
const bounds = {
  MAX_QUEUED_JOBS: ['both', 1, 50_000],
  MAX_UPLOAD_BYTES: ['both', 1, 5 * 1024 ** 4],
  QUOTA_BYTES_TOTAL: ['both', 0, none],
  QUOTA_FILES_TOTAL: ['both', 0, none],
  QUOTA_BYTES_PER_DAY: ['both', 0, none],
  QUOTA_FILES_PER_DAY: ['both', 0, none],
  QUOTA_BYTES_PER_DAY_PER_ADDRESS: ['both', 0, none],
  QUOTA_FILES_PER_DAY_PER_ADDRESS: ['both', 0, none],
  MAX_BUFFERED_BYTES: ['both', 32 * MiB, none],
  METRICS_PORT: ['both', 0, 65_535],
  PUBLISH_PERIOD_MS: ['both', 100, none],
  PORT: ['api', 0, 65_535],
  SESSION_TTL_MS: ['api', 60_000, none],
  UPLOAD_IDLE_TIMEOUT_MS: ['api', 100, none],
  MAX_UPLOADS: ['api', 1, none],
  MAX_UPLOADS_PER_OWNER: ['api', 0, none],
  MAX_UPLOADS_PER_ADDRESS: ['api', 0, none],
  MIN_UPLOAD_BYTES_PER_SECOND: ['api', 0, none],
  MAX_EVENT_STREAMS: ['api', 1, none],
  MAX_EVENT_STREAMS_PER_OWNER: ['api', 0, none],
  MAX_EVENT_STREAMS_PER_ADDRESS: ['api', 0, none],
  MAX_UNFINISHED_UPLOADS_PER_OWNER: ['api', 0, none],
  MAX_UNFINISHED_UPLOADS_PER_ADDRESS: ['api', 0, none],
  MAX_NEW_OWNERS_PER_ADDRESS_PER_HOUR: ['api', 0, none],
  RATE_LIMIT_PER_MINUTE: ['api', 0, none],
  RATE_LIMIT_PER_ADDRESS_PER_MINUTE: ['api', 0, none],
  RATE_LIMIT_TIMEOUT_MS: ['api', 1, none],
  HEADERS_TIMEOUT_MS: ['api', 100, none],
  SLOW_BODY_MS: ['api', 100, none],
  MAX_EVENT_LOOP_DELAY_MS: ['api', 0, none],
  MAX_HEAP_USED_BYTES: ['api', 0, none],
  MAX_RSS_BYTES: ['api', 0, none],
  CLOSE_DELAY_MS: ['api', 0, hourMs],
  WORKER_SLOTS: ['worker', 1, 256],
  DRAIN_DEADLINE_MS: ['worker', 0, hourMs],
  HEALTH_PORT: ['worker', 0, 65_535],
  NOTICE_INTERVAL_MS: ['worker', 10, 60_000],
  LONG_WORK_MS: ['worker', 10, hourMs],
  MAX_IMAGE_BYTES: ['worker', 1, 4096 * MiB],
  // sharp's own limit: 16383 squared (libvips' 0x3FFF).
  MAX_IMAGE_PIXELS: ['worker', 1, 16_383 ** 2],
  DECODER_CPU_LIMIT_MS: ['worker', 100, hourMs],
  DECODER_TIME_LIMIT_MS: ['worker', 100, hourMs],
  DECODER_MEMORY_BYTES: ['worker', 256 * MiB, none],
  SCAN_TIMEOUT_MS: ['worker', 100, hourMs],
  SCAN_SLOTS: ['worker', 1, 256],
  SCAN_MAX_BYTES: ['worker', 1, none],
  INSPECT_TIMEOUT_MS: ['worker', 100, hourMs],
  IMPORT_SLOTS: ['worker', 1, 256],
  IMPORT_SLOTS_PER_OWNER: ['worker', 1, 256],
  IMPORT_IDLE_TIMEOUT_MS: ['worker', 100, none],
  IMPORT_TIMEOUT_MS: ['worker', 100, 24 * hourMs],
  IMPORT_MIN_BYTES_PER_SECOND: ['worker', 0, none],
  ARRIVAL_LEASE_MS: ['worker', 1_000, hourMs],
  RECONCILE_INTERVAL_MS: ['worker', 1_000, none],
} satisfies Record<string, Bounds>

/** Variables that are `true` or `false`. The API reads all of them, and all are off by default. */
const switches = ['BUCKET_REPLICATED', 'PROXY_PROTOCOL', 'OPEN_ADMIN']

const readers = { api: readApiConfig, worker: readWorkerConfig }

/** The problems of a service with an environment; none if it starts. */
function problemsOf(service: 'api' | 'worker', changes: Record<string, string>): readonly string[] {
  try {
    readers[service]({ ...required, ...changes })
    return []
  } catch (error) {
    if (error instanceof EnvironmentError) return error.problems
    throw error
  }
}

/** What a service says of a value that is no integer, or none of this range. */
const problemOf = (name: string, given: string, [, min, max]: Bounds) =>
  `${name} is ${given}; it must be an integer ${max === none ? `of at least ${min}` : `from ${min} to ${max}`}.`

test('each number has its bounds: they are accepted, and one below or above is refused by name', () => {
  // All at once, because each reading compiles the schema.
  for (const service of ['api', 'worker'] as const) {
    const own = Object.entries<Bounds>(bounds).filter(([, [of]]) => of === 'both' || of === service)
    const check = (numberOf: (range: Bounds) => number | 'x', isRefused: (range: Bounds) => boolean) => {
      const changes = own.map(([name, range]) => [name, String(numberOf(range))] as const)
      const expected = own.flatMap(([name, range]) => {
        const value = numberOf(range)
        return isRefused(range) ? [problemOf(name, value === 'x' ? '"x"' : String(value), range)] : []
      })
      assert.equal(problemsOf(service, Object.fromEntries(changes)).toSorted(), expected.toSorted())
    }
    const maxOf = ([, , max]: Bounds) => Math.min(max, Number.MAX_SAFE_INTEGER - 1)
    check(
      ([, min]) => min,
      () => false,
    )
    check(maxOf, () => false)
    check(
      ([, min]) => min - 1,
      () => true,
    )
    check(
      (range) => maxOf(range) + 1,
      ([, , max]) => max !== none,
    )
    check(
      ([, min]) => min + 0.5,
      () => true,
    )
    check(
      () => 'x',
      () => true,
    )
  }
})

test('each variable that is a number or a switch is in this list', () => {
  const example = readFileSync(new URL('../../../.env.example', import.meta.url), 'utf8')
  const names = example.split('\n').flatMap((line) => /^([A-Z][A-Z0-9_]*)=/.exec(line)?.[1] ?? [])
  const wrong = Object.fromEntries(names.map((name) => [name, 'x']))
  const problems = [...problemsOf('api', wrong), ...problemsOf('worker', wrong)]
  const namesIn = (text: string) =>
    [...new Set(problems.flatMap((one) => (one.includes(text) ? (one.split(' ')[0] ?? []) : [])))].toSorted()
  assert.equal(namesIn('it must be an integer'), Object.keys(bounds).toSorted())
  assert.equal(namesIn('it must be true or false'), switches.toSorted())
})

test('a switch is on only if it says so, and nothing that lets somebody in is on by default', () => {
  const api = readApiConfig(required)
  assert.equal(
    [api.bucketReplicated, api.proxyProtocol, api.openAdmin, api.anonymousUploads],
    [false, false, false, false],
  )
  assert.equal(
    [api.allowedOrigins, api.allowedHosts, api.trustedProxies, api.apiKeys.length ?? 0],
    [[], [], [], 0],
  )
  assert.equal([api.host, api.metricsHost, api.metricsPort], ['127.0.0.1', '127.0.0.1', undefined])
  const names = switches
  assert.equal(
    problemsOf('api', Object.fromEntries(names.map((name) => [name, 'yes']))).toSorted(),
    names.map((name) => `${name} is "yes"; it must be true or false.`).toSorted(),
  )
  const on = readApiConfig({
    ...required,
    OPEN_ADMIN: 'true',
    PROXY_PROTOCOL: 'true',
    ANONYMOUS_UPLOADS: 'on',
  })
  assert.equal([on.openAdmin, on.proxyProtocol, on.anonymousUploads], [true, true, true])
  const off = readApiConfig({ ...required, OPEN_ADMIN: 'false', ANONYMOUS_UPLOADS: 'off' })
  assert.equal([off.openAdmin, off.anonymousUploads], [false, false])
})

test('limits of streams and uploads reach the holder that they are named after', () => {
  const config = readApiConfig({
    ...required,
    MAX_UPLOADS: '11',
    MAX_UPLOADS_PER_OWNER: '12',
    MAX_UPLOADS_PER_ADDRESS: '13',
    MAX_EVENT_STREAMS: '21',
    MAX_EVENT_STREAMS_PER_OWNER: '22',
    MAX_EVENT_STREAMS_PER_ADDRESS: '23',
    MAX_UNFINISHED_UPLOADS_PER_OWNER: '32',
    MAX_UNFINISHED_UPLOADS_PER_ADDRESS: '33',
    RATE_LIMIT_PER_MINUTE: '41',
    RATE_LIMIT_PER_ADDRESS_PER_MINUTE: '42',
    QUOTA_BYTES_TOTAL: '51',
    QUOTA_FILES_TOTAL: '52',
    QUOTA_BYTES_PER_DAY: '53',
    QUOTA_FILES_PER_DAY: '54',
    QUOTA_BYTES_PER_DAY_PER_ADDRESS: '55',
    QUOTA_FILES_PER_DAY_PER_ADDRESS: '56',
  })
  assert.equal(config.uploadsAtOnce, { instance: 11, owner: 12, address: 13 })
  assert.equal(config.eventStreams, { instance: 21, owner: 22, address: 23 })
  assert.equal(config.unfinishedUploads, { owner: 32, address: 33 })
  assert.equal([config.rateLimitPerMinute, config.rateLimitPerAddressPerMinute], [41, 42])
  assert.equal(config.quota, { bytesTotal: 51, filesTotal: 52, bytesPerDay: 53, filesPerDay: 54 })
  assert.equal(config.addressQuota, { bytesPerDay: 55, filesPerDay: 56 })
})

test('a value that a service accepts is the value that it uses, and no secret is in a problem', async () => {
  const names = Object.keys(bounds)
  await checkProperty(
    fc.property(
      fc.dictionary(fc.constantFrom(...names), fc.maxSafeInteger().map(String)),
      fc.stringMatching(/^[a-z0-9]{12,30}$/),
      (changes, secret) => {
        for (const service of ['api', 'worker'] as const) {
          const expected = Object.entries<Bounds>(bounds).flatMap(([name, range]) => {
            const given = changes[name]
            const [of, min, max] = range
            if (given === undefined || (of !== 'both' && of !== service)) return []
            return Number(given) >= min && Number(given) <= max ? [] : [problemOf(name, given, range)]
          })
          const wrong = { REDIS_URL: `http://user:${secret}@host`, EVENTS_QUEUE_URL: secret, ...changes }
          const problems = problemsOf(service, wrong)
          assert.equal(
            problems.toSorted(),
            [
              ...expected,
              'REDIS_URL must be a redis:// or rediss:// URL.',
              'EVENTS_QUEUE_URL must be an http:// or https:// URL.',
            ].toSorted(),
          )
          assert.not(problems.some((problem) => problem.includes(secret)))
        }
      },
    ),
    { runs: 10 },
  )
})

test.run()
