import { createWebhookStore } from '@millrace/shared/webhooks/webhook-store.ts'
import * as assert from 'uvu/assert'
import { parsePrometheusText, sumOf } from '../../support/prometheus-text.ts'
import { suite } from '../../support/suite.ts'
import { type Receiver, startReceiver } from '../support/receiver.ts'
import { sampleImage } from '../support/sample-images.ts'
import { webhookOf } from '../support/webhooks.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('metrics of a worker', undefined, { limitMs: 60_000 })
const owner = 'acme'
let fleet: WorkerFleet
let receiver: Receiver
let ownPort: unknown
let healthPort: unknown

test.before(async () => {
  fleet = await startWorkerFleet({ environment: { WEBHOOK_ALLOWED_NETWORKS: '127.0.0.1/32' } })
  receiver = await startReceiver((_, response, index) => {
    // The first attempt fails. The retry is not awaited.
    response.writeHead(index === 0 ? 500 : 204).end()
  })
  await createWebhookStore(fleet).create(webhookOf(owner, 'a', { url: receiver.url }))
  const worker = await fleet.spawnWorker({ METRICS_PORT: '0', HEALTH_PORT: '0' })
  ownPort = (await worker.log.until(({ event }) => event === 'metrics'))['port']
  healthPort = (await worker.log.until(({ event }) => event === 'health'))['port']
  await worker.log.until(({ event }) => event === 'started')
})
test.after(async () => {
  await fleet.close()
  await receiver.close()
})

async function read(port = ownPort) {
  const response = await fetch(`http://127.0.0.1:${port}/metrics`)
  assert.is(response.status, 200)
  return parsePrometheusText(await response.text())
}

/** Reads the metrics until a sum has a value: an attempt is recorded just after its upload is finished. */
async function until(name: string, labels: Record<string, string>, isReached: (sum: number) => boolean) {
  for (;;) {
    const families = await read()
    if (isReached(sumOf(families, name, labels))) return families
  }
}

const attempts = 'millrace_job_duration_seconds_count'

test('a worker has started its first decoder before it takes jobs', async () => {
  assert.is(sumOf(await read(), 'millrace_decoder_processes', { state: 'idle' }), 1)
})

test('after uploads, a worker has their attempts, steps, bytes, calls, decoders and deliveries', async () => {
  const png = await sampleImage('image/png', 1200, 900)
  const good = await fleet.finished(await fleet.arrive(png, { owner }))
  const bad = await fleet.finished(await fleet.arrive(png.subarray(0, png.length - 50)))
  assert.equal([good.state, bad.state], ['ready', 'rejected'])
  const families = await until(attempts, { job: 'process-upload' }, (count) => count === 2)

  const count = (name: string, labels: Record<string, string>) => sumOf(families, `${name}_count`, labels)
  const job = { job: 'process-upload' }
  for (const outcome of ['ready', 'rejected']) {
    assert.is(count('millrace_job_duration_seconds', { ...job, outcome }), 1, outcome)
    const step = (name: string) => count('millrace_job_step_duration_seconds', { step: name, outcome })
    assert.equal(['find', 'open', 'admit', 'read', 'render', 'settle'].map(step), [1, 1, 1, 1, 1, 1])
    assert.is(step('write'), outcome === 'ready' ? 1 : 0)
  }
  assert.is(count('millrace_job_wait_seconds', job), 2)
  assert.is(sumOf(families, 'millrace_original_bytes_total'), 2 * png.length - 50)
  const variantBytes = good.variants.reduce((sum, { size }) => sum + size, 0)
  assert.is(sumOf(families, 'millrace_variant_bytes_total'), variantBytes)

  const calls = (dependency: string, operation: string) =>
    sumOf(families, 'millrace_dependency_calls_total', { dependency, operation, outcome: 'ok' })
  assert.ok(calls('s3', 'PutObject') > good.variants.length)
  assert.ok(calls('sqs', 'ReceiveMessage') > 0)
  assert.ok(calls('redis', 'evalsha') > 0)
  // BullMQ waits for jobs on a connection that it duplicated.
  assert.ok(calls('redis', 'bzpopmin') > 0)

  assert.ok(sumOf(families, 'millrace_decoder_processes') > 0)
  assert.ok(sumOf(families, 'millrace_decoder_resident_memory_bytes') > 20e6)
  assert.ok(sumOf(families, 'millrace_decoder_libvips_peak_bytes') >= 1024 ** 2)
  assert.is(sumOf(families, 'millrace_decoder_memory_reserved_bytes'), 0)
  assert.ok(sumOf(families, 'millrace_decoder_memory_limit_bytes', { kind: 'files' }) > 0)
  assert.is(sumOf(families, 'millrace_worker_slots'), 2)
  assert.is(sumOf(families, 'millrace_jobs_active'), 0)

  const deliveries = 'millrace_webhook_deliveries_total'
  const later = await until(deliveries, { outcome: 'retried' }, (sum) => sum === 1)
  assert.is(sumOf(later, 'millrace_webhook_request_duration_seconds_count', { result: '5xx' }), 1)
  await until('millrace_queue_slots', {}, (slots) => slots === 2)
})

test('the health port on loopback has the metrics too', async () => {
  const families = await read(healthPort)
  assert.is(sumOf(families, 'millrace_build_info', { service: 'worker' }), 1)
  assert.ok(families.has('process_resident_memory_bytes'))
})

test.run()
