import { readConfig as readApiConfig } from '@millrace/api/config.ts'
import { EnvironmentError } from '@millrace/shared/service/environment.ts'
import { readConfig as readWorkerConfig } from '@millrace/worker/config.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('service variables')

const complete = {
  PUBLIC_ORIGIN: 'http://localhost:3000',
  REDIS_URL: 'redis://localhost',
  BUCKET: 'bucket',
  EVENTS_QUEUE_URL: 'http://localhost/queue',
  SESSION_KEYS: Buffer.alloc(32).toString('base64'),
}

/** The problems that one of the services finds in an environment. */
function problemsOf(
  readConfig: (environment: Record<string, string>) => unknown,
  changes: Record<string, string>,
): readonly string[] {
  try {
    readConfig({ ...complete, ...changes })
  } catch (error) {
    if (error instanceof EnvironmentError) return error.problems
    throw error
  }
  return []
}

test('API and worker report the same problems for each shared variable', () => {
  const wrong: [string, string, string][] = [
    ['REDIS_URL', 'http://user:secret@host', 'REDIS_URL must be a redis:// or rediss:// URL.'],
    ['REDIS_PREFIX', 'a:b', 'REDIS_PREFIX is "a:b"; it must be letters, digits, "-" and "_".'],
    ['BUCKET', 'ab', 'BUCKET is "ab"; it must be a text of at least 3 characters.'],
    ['BUCKET_REPLICATED', 'no', 'BUCKET_REPLICATED is "no"; it must be true or false.'],
    ['DEAD_LETTER_QUEUE_URL', 'sqs', 'DEAD_LETTER_QUEUE_URL must be an http:// or https:// URL.'],
    ['EVENTS_QUEUE_URL', 'sqs', 'EVENTS_QUEUE_URL must be an http:// or https:// URL.'],
    ['LOG_LEVEL', 'loud', 'LOG_LEVEL is "loud"; allowed: trace, debug, info, warn, error, fatal, silent.'],
    ['PRESETS', '{}', 'PRESETS is an object; it must be a list.'],
    ['MAX_UPLOAD_BYTES', '0', 'MAX_UPLOAD_BYTES is 0; it must be an integer from 1 to 5497558138880.'],
    ['QUOTA_BYTES_TOTAL', '-1', 'QUOTA_BYTES_TOTAL is -1; it must be an integer of at least 0.'],
    ['QUOTA_FILES_TOTAL', '-1', 'QUOTA_FILES_TOTAL is -1; it must be an integer of at least 0.'],
    ['QUOTA_BYTES_PER_DAY', '-1', 'QUOTA_BYTES_PER_DAY is -1; it must be an integer of at least 0.'],
    ['QUOTA_FILES_PER_DAY', '-1', 'QUOTA_FILES_PER_DAY is -1; it must be an integer of at least 0.'],
    [
      'IMPORT_ALLOWED_PORTS',
      '80,99999',
      'IMPORT_ALLOWED_PORTS is "80,99999"; it must be ports from 1 to 65535, comma separated.',
    ],
    ['METRICS_STAGE', 'a b', 'METRICS_STAGE is "a b"; it must be letters, digits, "-" and "_".'],
    ['PUBLISH_PERIOD_MS', '99', 'PUBLISH_PERIOD_MS is 99; it must be an integer of at least 100.'],
  ]
  for (const [name, value, problem] of wrong) {
    assert.equal(problemsOf(readApiConfig, { [name]: value }), [problem], `API: ${name}`)
    assert.equal(problemsOf(readWorkerConfig, { [name]: value }), [problem], `worker: ${name}`)
  }
  const all = Object.fromEntries(wrong)
  const problems = wrong.map(([, , problem]) => problem)
  assert.equal([...problemsOf(readApiConfig, all)].sort(), [...problems].sort())
  assert.equal([...problemsOf(readWorkerConfig, all)].sort(), [...problems].sort())
})

test('API and worker read the same values from shared variables', () => {
  const environment = {
    ...complete,
    REDIS_PREFIX: 'my_app-2',
    BUCKET_REPLICATED: 'true',
    LOG_LEVEL: 'fatal',
    INSTANCE: 'one',
    METRICS_STAGE: 'test',
    PUBLISH_PERIOD_MS: '100',
    MAX_QUEUED_JOBS: '9',
    MAX_UPLOAD_BYTES: '7',
    QUOTA_BYTES_TOTAL: '0',
    QUOTA_FILES_PER_DAY: '3',
    IMPORT_ALLOWED_PORTS: '80, 8080,65535',
    WEBHOOK_ALLOWED_NETWORKS: '10.0.0.0/8, ::1',
    PRESETS: JSON.stringify([{ name: 'own', variants: [] }]),
  }
  const expected = {
    redisUrl: complete.REDIS_URL,
    redisPrefix: 'my_app-2',
    bucket: 'bucket',
    bucketReplicated: true,
    eventsQueueUrl: complete.EVENTS_QUEUE_URL,
    maxQueuedJobs: 9,
    instance: 'one',
    logLevel: 'fatal',
    metricsStage: 'test',
    publishPeriodMs: 100,
    maxUploadBytes: 7,
    quota: { bytesTotal: 0, filesTotal: undefined, bytesPerDay: undefined, filesPerDay: 3 },
    importAllowedPorts: [80, 8080, 65_535],
    webhookAllowedNetworks: ['10.0.0.0/8', '::1'],
  }
  for (const config of [readApiConfig(environment), readWorkerConfig(environment)]) {
    const shared = Object.fromEntries(Object.entries(config).filter(([name]) => name in expected))
    assert.equal(shared, expected)
    assert.equal([...config.presets.keys()], ['default', 'own'])
  }
})

test('traces are exported only to an endpoint, over HTTP, unless the SDK is disabled', () => {
  const endpoint = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://localhost:4318' }
  const grpc = { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' }
  for (const readConfig of [readApiConfig, readWorkerConfig]) {
    const tracingOf = (changes: Record<string, string>) => readConfig({ ...complete, ...changes }).tracing
    assert.equal(tracingOf(endpoint), { protocol: 'http/protobuf' })
    const json = { ...endpoint, OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }
    assert.equal(tracingOf(json), { protocol: 'http/json' })
    for (const off of [{}, grpc, { ...endpoint, OTEL_SDK_DISABLED: 'True' }])
      assert.is(tracingOf(off), undefined)
    assert.equal(problemsOf(readConfig, { ...endpoint, ...grpc }), [
      'OTEL_EXPORTER_OTLP_PROTOCOL is "grpc"; allowed: http/protobuf, http/json.',
    ])
    assert.equal(problemsOf(readConfig, { OTEL_EXPORTER_OTLP_ENDPOINT: 'localhost:4318' }), [
      'OTEL_EXPORTER_OTLP_ENDPOINT must be an http:// or https:// URL.',
    ])
  }
})

test.run()
