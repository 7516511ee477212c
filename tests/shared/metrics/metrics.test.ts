import { randomUUID } from 'node:crypto'
import { request } from 'node:http'
import { GetObjectCommand, HeadBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createMetrics } from '@millrace/shared/metrics/metrics.ts'
import { startMetricsServer } from '@millrace/shared/metrics/metrics-server.ts'
import { observeClients } from '@millrace/shared/metrics/observe-clients.ts'
import { watchQueue } from '@millrace/shared/metrics/watch-queue.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { parsePrometheusText, sumOf } from '../../support/prometheus-text.ts'
import { suite } from '../../support/suite.ts'

const test = suite('metrics')
const log = createLog({ level: 'silent', instance: 'test' })
const ignore = { info: () => undefined, warn: () => undefined }
const redisUrl = process.env['REDIS_URL'] ?? ''
let api: ApiInstances

test.before(async () => {
  api = await startApiInstances()
})
test.after(() => api.close())

const newMetrics = (service: 'api' | 'worker' = 'api') =>
  createMetrics({ service, instance: 'test-1', version: '1.2.3' })
const read = async (metrics: ReturnType<typeof newMetrics>) => parsePrometheusText(await metrics.read())

const calls = 'millrace_dependency_calls_total'
const durations = 'millrace_dependency_call_duration_seconds_count'

/** Returns clients whose calls are recorded, for one test. */
function observedClients(endpoint = api.environment['AWS_ENDPOINT_URL_S3']) {
  const metrics = newMetrics()
  const access = {
    endpoint,
    region: 'us-east-1',
    maxAttempts: 2,
    credentials: {
      accessKeyId: api.environment['AWS_ACCESS_KEY_ID'] ?? '',
      secretAccessKey: api.environment['AWS_SECRET_ACCESS_KEY'] ?? '',
    },
  }
  const redis = connectRedis(redisUrl, log)
  const s3 = new S3Client({ ...access, forcePathStyle: true })
  const sqs = new SQSClient(access)
  observeClients({ redis: [redis], s3: [s3], sqs }, metrics.callsOf)
  return {
    metrics,
    redis,
    s3,
    close(duplicates: Redis[] = []) {
      for (const one of [redis, ...duplicates]) one.disconnect()
      s3.destroy()
      sqs.destroy()
    },
  }
}

test('a process has all families of its service, in the strict text format', async () => {
  for (const service of ['api', 'worker'] as const) {
    const metrics = newMetrics(service)
    metrics.watchProcess()
    const families = await read(metrics)
    const info = { service, name: 'test-1', version: '1.2.3', node: process.versions.node }
    assert.equal(families.get('millrace_build_info')?.samples, [
      { name: 'millrace_build_info', labels: info, value: 1 },
    ])
    assert.ok(sumOf(families, 'process_resident_memory_bytes') > 1e6)
    assert.ok(sumOf(families, 'process_cpu_seconds_total') > 0)
    assert.ok(families.has('nodejs_eventloop_lag_p99_seconds'))
    assert.ok(sumOf(families, 'millrace_event_loop_seconds_total', { state: 'active' }) > 0)
  }
})

test('a histogram counts values in cumulative buckets, a bound included', async () => {
  const metrics = newMetrics()
  const name = 'millrace_http_request_duration_seconds'
  for (const seconds of [0.001, 0.0025, 0.003, 700]) metrics.histogram(name, 'getHealth').observe(seconds)
  const families = await read(metrics)
  const bucket = (le: string) => sumOf(families, `${name}_bucket`, { operation: 'getHealth', le })
  assert.equal(['0.0025', '0.005', '600', '+Inf'].map(bucket), [2, 3, 3, 4])
  assert.is(sumOf(families, `${name}_sum`), 0.001 + 0.0025 + 0.003 + 700)
})

test('two registries in one process do not mix', async () => {
  const [first, second] = [newMetrics(), newMetrics()]
  first.counter('millrace_http_problems_total', 'overloaded').add(2)
  second.counter('millrace_http_problems_total', 'overloaded').add(5)
  const name = 'millrace_http_problems_total'
  assert.is(sumOf(await read(first), name, { code: 'overloaded' }), 2)
  assert.is(sumOf(await read(second), name, { code: 'overloaded' }), 5)
})

test('a service has no families of the other one', async () => {
  const metrics = newMetrics('worker')
  assert.throws(() => metrics.counter('millrace_http_problems_total', 'internal'), /no metric family/)
  assert.not((await read(metrics)).has('millrace_http_problems_total'))
})

test('commands of Redis are counted once each, also those of duplicates, pipelines and scripts', async () => {
  const { metrics, redis, close } = observedClients()
  const key = `test-${randomUUID()}`
  const copy = redis.duplicate()
  try {
    await redis.set(key, '1')
    await Promise.all([redis.get(key), copy.get(key)])
    await redis.multi().incr(key).pexpire(key, 60_000).exec()
    await redis.eval('return redis.call("DEL", KEYS[1])', 1, key)
    await assertRejects(redis.call('INCRBY', key, 'x'), /integer/)
    const families = await read(metrics)
    const count = (operation: string, outcome: string) =>
      sumOf(families, calls, { dependency: 'redis', operation, outcome })
    assert.equal(
      ['set', 'get', 'multi', 'incr', 'pexpire', 'exec', 'eval'].map((name) => count(name, 'ok')),
      [1, 2, 1, 1, 1, 1, 1],
    )
    assert.equal([count('incrby', 'ok'), count('incrby', 'refused')], [0, 1])
    assert.is(sumOf(families, durations, { dependency: 'redis', operation: 'get' }), 2)
  } finally {
    close([copy])
  }
})

test('a command that waits for the connection is counted once, and one without Redis failed', async () => {
  const { metrics, redis, close } = observedClients()
  const lost = redis
    .duplicate({ port: 1, retryStrategy: null, maxRetriesPerRequest: 0 })
    .on('error', () => undefined)
  try {
    // Neither connection is open yet.
    await Promise.all([redis.echo('a'), assertRejects(lost.echo('b'), /./)])
    const families = await read(metrics)
    assert.equal(
      ['ok', 'failed'].map((outcome) => sumOf(families, calls, { operation: 'echo', outcome })),
      [1, 1],
    )
  } finally {
    close([lost])
  }
})

test('calls of S3 are counted by operation and outcome, each attempt', async () => {
  const { metrics, s3, close } = observedClients()
  const away = observedClients('http://127.0.0.1:1')
  try {
    const Bucket = api.bucket
    await s3.send(new HeadBucketCommand({ Bucket }))
    await assertRejects(
      s3.send(new GetObjectCommand({ Bucket, Key: 'originals/none' })),
      /NoSuchKey|not exist/,
    )
    const aborted = { abortSignal: AbortSignal.abort() }
    await assertRejects(s3.send(new HeadBucketCommand({ Bucket }), aborted), /abort/i)
    await assertRejects(away.s3.send(new HeadBucketCommand({ Bucket })), /./)
    const families = await read(metrics)
    const count = (operation: string, outcome: string) =>
      sumOf(families, calls, { dependency: 's3', operation, outcome })
    assert.equal([count('HeadBucket', 'ok'), count('GetObject', 'refused')], [1, 1])
    assert.is(sumOf(families, durations, { dependency: 's3', operation: 'GetObject' }), 1)
    assert.is(sumOf(await read(away.metrics), calls, { operation: 'HeadBucket', outcome: 'failed' }), 2)
  } finally {
    close()
    away.close()
  }
})

test('the queue of the fleet is read from its last sample, and absent without one', async () => {
  const metrics = newMetrics()
  const sample = { waiting: 3, prioritized: 2, active: 1, notRelayed: 7, slots: 4, oldestJobAgeMs: 1500 }
  const answers = [
    async () => sample,
    async () => undefined,
    () => Promise.reject(new Error('Redis is away.')),
  ]
  watchQueue(metrics, () => (answers.shift() ?? (async () => undefined))())
  const name = 'millrace_queue_jobs'
  const families = await read(metrics)
  assert.equal(
    ['waiting', 'prioritized', 'active', 'not_relayed'].map((state) => sumOf(families, name, { state })),
    [3, 2, 1, 7],
  )
  assert.is(sumOf(families, 'millrace_queue_oldest_job_age_seconds'), 1.5)
  assert.is(sumOf(families, 'millrace_queue_slots'), 4)
  for (const without of [await read(metrics), await read(metrics)]) {
    assert.equal(without.get(name)?.samples, [])
    assert.equal(without.get('millrace_queue_slots')?.samples, [])
  }
})

test('the own port serves the metrics, and nothing else', async () => {
  const metrics = newMetrics()
  const config = { metricsHost: '127.0.0.1', metricsPort: 0 }
  const port = await startMetricsServer({ config, metrics, log: ignore })
  const ask = (method: string, path: string) =>
    new Promise<{ status: number | undefined; type: string | undefined; text: string }>((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, path, method, agent: false }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (chunk: string) => {
          text += chunk
        })
        response.on('end', () =>
          resolve({ status: response.statusCode, type: response.headers['content-type'], text }),
        )
      })
      sent.on('error', reject).end()
    })
  const { status, type, text } = await ask('GET', '/metrics?x=1')
  assert.equal([status, type], [200, 'text/plain; version=0.0.4; charset=utf-8'])
  assert.ok(parsePrometheusText(text).has('millrace_build_info'))
  assert.is((await ask('POST', '/metrics')).status, 405)
  assert.is((await ask('GET', '/health')).status, 404)
  assert.is(
    await startMetricsServer({ config: { ...config, metricsPort: undefined }, metrics, log: ignore }),
    undefined,
  )
})

async function assertRejects(work: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.match(error instanceof Error ? `${error.name} ${error.message}` : 'resolved', message)
}

test.run()
