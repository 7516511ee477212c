import { once } from 'node:events'
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { loadTracing } from '@millrace/shared/tracing/load-tracing.ts'
import { noTracing, type ProcessTracing } from '@millrace/shared/tracing/tracing.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('tracing in a process')
const sampled = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const notSampled = '00-1bf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00'
const requests: { headers: IncomingHttpHeaders; body: string }[] = []
const collector = createServer(async (request, response) => {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  requests.push({ headers: request.headers, body: Buffer.concat(chunks).toString('latin1') })
  response.end()
})
let tracing: ProcessTracing

test.before(async () => {
  collector.listen(0, '127.0.0.1')
  await once(collector, 'listening')
  const address = collector.address()
  if (address === null || typeof address === 'string') throw new Error('The collector has no port.')
  // OpenTelemetry's SDK reads the environment itself.
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = `http://127.0.0.1:${address.port}/base`
  process.env['OTEL_EXPORTER_OTLP_HEADERS'] = 'x-key=of-the-collector'
  process.env['OTEL_RESOURCE_ATTRIBUTES'] = 'deployment.environment.name=staging'
  const identity = { service: 'test-service', version: '1.2.3', instance: 'one' }
  tracing = await loadTracing({ protocol: 'http/protobuf' }, identity)
})
test.after(async () => {
  collector.close()
  await once(collector, 'close')
})

test('work outside of a trace runs and is no span', async () => {
  assert.is(await tracing.span('poll', () => tracing.traceId() ?? 'none'), 'none')
  assert.is(await tracing.within('00-no', () => tracing.span('poll', () => 7)), 7)
})

test('a span within a trace has its id, and its errors have a code and no message', async () => {
  const inner = await tracing.within(sampled, () =>
    tracing.span('step one', (span) => {
      span.set({ 'millrace.upload.id': 'upload-1', 'http.url': 'https://secret.example' })
      return tracing.traceparent()
    }),
  )
  assert.match(String(inner), /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/)
  const refused = new AppError('size_mismatch', { message: 'secret message' })
  const thrown = await tracing
    .within(sampled, () => tracing.span('step two', () => Promise.reject(refused)))
    .catch((error) => error)
  assert.is(thrown, refused)
})

test('a trace that its client does not sample is carried on and not exported', async () => {
  const inner = await tracing.within(notSampled, () => tracing.span('unsampled', () => tracing.traceparent()))
  assert.match(String(inner), /^00-1bf7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-00$/)
})

/** The request that left its own trace for that of the upload: its trace and its span, in hex. */
let left: string[] = []

test('a span of an upload links to the request that left its own trace for it', async () => {
  const other = '00-2cf7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  await tracing.within(other, () =>
    tracing.span('request', () => {
      left = (tracing.traceparent() ?? '').split('-').slice(1, 3)
      return tracing.within(sampled, () =>
        tracing.span('receive', () => assert.is(tracing.traceId(), '0af7651916cd43dd8448eb211c80319c')),
      )
    }),
  )
})

test('closing exports what is left, as protobuf, with the headers and attributes of the environment', async () => {
  await tracing.close()
  assert.is(requests.length, 1)
  const [{ headers, body } = { headers: {}, body: '' }] = requests
  assert.equal([headers['content-type'], headers['x-key']], ['application/x-protobuf', 'of-the-collector'])
  for (const text of [
    'step one',
    'step two',
    'upload-1',
    'size_mismatch',
    'test-service',
    '1.2.3',
    'staging',
  ])
    assert.ok(body.includes(text), text)
  // Once as the request's own span, and once as the link.
  const [traceId, spanId] = left.map((hex) => Buffer.from(hex, 'hex').toString('latin1'))
  assert.equal([body.split(traceId ?? '').length - 1, body.split(spanId ?? '').length - 1], [2, 2])
  for (const text of ['poll', 'unsampled', 'secret']) assert.not.ok(body.includes(text), text)
})

test('a collector that does not answer disturbs no work, and holds up the end for its deadline only', async () => {
  const connected = Promise.withResolvers<ServerResponse>()
  const silent = createServer((_, response) => connected.resolve(response)).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  const address = silent.address()
  if (address === null || typeof address === 'string') throw new Error('The collector has no port.')
  process.env['OTEL_EXPORTER_OTLP_ENDPOINT'] = `http://127.0.0.1:${address.port}`
  process.env['OTEL_BSP_SCHEDULE_DELAY'] = '1'
  // Longer than the limit of this test.
  for (const name of ['OTEL_EXPORTER_OTLP_TIMEOUT', 'OTEL_BSP_EXPORT_TIMEOUT']) process.env[name] = '120000'
  const waiting = await loadTracing({ protocol: 'http/json' }, { service: 's', version: '1', instance: 'i' })
  assert.is(await waiting.within(sampled, () => waiting.span('step', () => 7)), 7)
  const response = await connected.promise
  await waiting.close()
  response.writeHead(400).end()
  silent.closeAllConnections()
  silent.close()
  await once(silent, 'close')
})

test('without settings, everything runs and nothing is traced', async () => {
  const off = await loadTracing(undefined, { service: 's', version: '1', instance: 'i' })
  assert.is(off, noTracing)
  const id = await off.within(sampled, () => off.span('step', () => off.traceId() ?? off.traceparent()))
  assert.is(id, undefined)
})

test.run()
