import { createHash } from 'node:crypto'
import { request } from 'node:http'
import { fileURLToPath } from 'node:url'
import { traceIdOf } from '@millrace/shared/tracing/traceparent.ts'
import * as assert from 'uvu/assert'
import { createBearerClient } from '../../support/bearer-client.ts'
import type { HttpClient } from '../../support/http-client.ts'
import { type OtlpReceiver, type ReceivedSpan, startOtlpReceiver } from '../../support/otlp-receiver.ts'
import { nodeOptionsWith } from '../../support/process-environment.ts'
import { announce, formOf, sendForm } from '../../support/send-upload.ts'
import { type Services, startServices } from '../../support/start-services.ts'
import { suite } from '../../support/suite.ts'
import { createTus, patchTus } from '../../support/tus-client.ts'
import { startReceiver } from '../../worker/support/receiver.ts'
import { sampleImage } from '../../worker/support/sample-images.ts'
import { startSourceServer } from '../../worker/support/source-server.ts'

const test = suite('one trace for an upload', {}, { limitMs: 60_000 })
const key = 'key-that-no-span-contains'
const clientSpan = 'b7ad6b7169203331'
const filename = 'name-that-no-span-contains.png'
const keyEntry = `acme/uploads:read+uploads:write+tenant/${createHash('sha256').update(key).digest('hex')}`
const reportModules = fileURLToPath(
  new URL('../../fixtures/services/report-telemetry-modules.mjs', import.meta.url),
)
let otlp: OtlpReceiver
let source: Awaited<ReturnType<typeof startSourceServer>>
let services: Services
let client: HttpClient
let photo: Uint8Array<ArrayBuffer>
/** Needs no decoder. */
const text = new Uint8Array(Buffer.from('some text'))

test.before(async () => {
  otlp = await startOtlpReceiver()
  source = await startSourceServer()
  services = await startServices({
    ...otlp.environment,
    NODE_OPTIONS: nodeOptionsWith(reportModules),
    API_KEYS: keyEntry,
    WEBHOOK_ALLOWED_NETWORKS: '127.0.0.1/32',
    IMPORT_ALLOWED_NETWORKS: '127.0.0.1/32',
    IMPORT_ALLOWED_PORTS: String(source.port),
  })
  client = createBearerClient(services.api.url, key)
  photo = new Uint8Array(await sampleImage('image/png'))
})
test.after(async () => {
  await services.close()
  await source.close()
  await otlp.close()
})

/** Waits until an upload is processed and its spans have come. */
async function processed(id: string): Promise<ReceivedSpan> {
  const span = await otlp.until(
    ({ name, attributes }) => name === 'process-upload' && attributes['millrace.upload.id'] === id,
  )
  await otlp.untilWhole(span, clientSpan)
  return span
}

/** Returns the names from a span up to the beginning of its trace. */
function ancestry(span: ReceivedSpan): string[] {
  return otlp.ancestry(span).map(({ name }) => name)
}

/** Removes names that come again, and those that depend on timing. */
function order(traceId: string): string[] {
  const names = otlp.trace(traceId).map(({ name }) => name)
  return names.filter((name, at) => names.indexOf(name) === at)
}

test('a form and its webhook are one trace, which continues that of the client', async () => {
  const receiver = await startReceiver()
  const created = await client.post('/webhooks', { url: receiver.url, events: ['upload.ready'] })
  assert.is(created.status, 201)
  const traceparent = `00-0af7651916cd43dd8448eb211c80319c-${clientSpan}-01`
  const traceId = traceIdOf(traceparent)
  const traced: HttpClient = {
    ...client,
    post: (path, json) =>
      client.post(path, json, { headers: { traceparent, tracestate: 'vendor=state-that-no-span-contains' } }),
  }
  const upload = await announce(traced, photo.length, { filename, contentType: 'image/png' })
  await sendForm(formOf(upload), photo)
  const request = await receiver.received(1)
  const sent = await otlp.until((span) => span.traceId === traceId && span.name === 'send webhook')
  await otlp.untilWhole(sent, clientSpan)
  const done = await processed(upload.id)

  assert.equal(
    order(traceId).filter((name) => !name.startsWith('S3.')),
    [
      ...[
        'announceUpload',
        'receive upload',
        'add uploads.process-upload',
        'process uploads',
        'process-upload',
      ],
      ...['find', 'open', 'admit', 'read', 'render', 'write', 'settle'],
      ...['add webhooks.distribute-event', 'process webhooks', 'distribute-event'],
      ...['add webhooks.deliver-event', 'deliver-event', 'send webhook'],
    ],
  )
  assert.equal(ancestry(sent), [
    ...[
      'announceUpload',
      'receive upload',
      'add uploads.process-upload',
      'process uploads',
      'process-upload',
    ],
    ...['settle', 'add webhooks.distribute-event', 'process webhooks', 'distribute-event'],
    ...['add webhooks.deliver-event', 'process webhooks', 'deliver-event', 'send webhook'],
  ])
  const [first] = otlp.trace(traceId)
  assert.equal(
    [first?.name, first?.service, first?.parentSpanId, first?.attributes],
    [
      'announceUpload',
      'millrace-api',
      clientSpan,
      { 'http.request.method': 'POST', 'http.route': '/uploads', 'http.response.status_code': 201 },
    ],
  )
  assert.is(done.service, 'millrace-worker')
  assert.equal(
    [sent.attributes['http.response.status_code'], request.headers['traceparent']],
    [204, `00-${traceId}-${sent.spanId}-01`],
  )
  const written = otlp
    .trace(traceId)
    .filter(({ name }) => name === 'S3.PutObject')
    .map((span) => [ancestry(span).at(-2), span.attributes['millrace.object']])
  assert.is(written.filter(([step, kind]) => step === 'settle' && kind === 'manifests').length, 1)
  assert.is(written.filter(([step, kind]) => step === 'render' && kind === 'variants').length, 4)
  await receiver.close()
})

test('log lines of a request and of a job carry the trace id', async () => {
  const { id } = await announce(client, text.length, { filename, contentType: 'text/plain' }).then(
    async (upload) => {
      await sendForm(formOf(upload), text)
      return upload
    },
  )
  const { traceId } = await processed(id)
  const line = await services.worker.log.until(
    ({ event, uploadId }) => event === 'processed' && uploadId === id,
  )
  assert.is(line['traceId'], traceId)
  assert.ok(
    services.apiLog().some(({ msg, operation, traceId: logged }) => {
      return msg === 'request completed' && operation === 'announceUpload' && logged === traceId
    }),
  )
})

test('a direct upload is one trace, and an invalid traceparent begins none', async () => {
  const invalid = [
    '00-00000000000000000000000000000000-b7ad6b7169203331-01',
    'ff-1-2-3',
    `x${'0'.repeat(3000)}`,
  ]
  for (const traceparent of invalid) {
    const { status, body } = await client.request('POST', `/upload?filename=${filename}`, {
      body: text,
      headers: { 'content-type': 'text/plain', traceparent },
    })
    assert.is(status, 201)
    const done = await processed(String(Object(body).id))
    assert.equal(ancestry(done), [
      ...['sendFile', 'receive upload', 'add uploads.process-upload', 'process uploads', 'process-upload'],
    ])
    const [first] = otlp.trace(done.traceId)
    assert.equal([first?.name, first?.parentSpanId || undefined], ['sendFile', undefined])
  }
})

test('a tus upload belongs to the trace of its creation, and links to no other request than the one that completed it', async () => {
  const path = await createTus(client, text.length, { filename, filetype: 'text/plain' })
  const id = path.split('/').at(-1) ?? ''
  const sent = await patchTus(client, services.api.url + path, {
    offset: 0,
    bytes: text,
    headers: { authorization: `Bearer ${key}` },
  })
  assert.is(sent.status, 204)
  const done = await processed(id)
  assert.equal(ancestry(done), [
    ...[
      'createTusUpload',
      'receive upload',
      'add uploads.process-upload',
      'process uploads',
      'process-upload',
    ],
  ])
  const chunk = await otlp.until(
    ({ name, attributes }) => name === 'sendTusChunk' && attributes['millrace.upload.id'] === id,
  )
  // If S3's event came first, it was received by no request, and there is nothing to link to.
  for (const { name, links = [] } of otlp.trace(done.traceId)) {
    if (name !== 'receive upload') continue
    for (const { traceId, spanId } of links) assert.equal([traceId, spanId], [chunk.traceId, chunk.spanId])
  }
})

test('an import is one trace', async () => {
  source.on('/text', (_request, response) => void response.end(text))
  const { status, body } = await client.post('/uploads', {
    sourceUrl: source.url('/text?token=s3cret'),
    filename,
  })
  assert.is(status, 201)
  const done = await processed(String(Object(body).id))
  assert.equal(ancestry(done), [
    ...['announceUpload', 'add imports.import-upload', 'process imports', 'import-upload', 'receive upload'],
    ...['add uploads.process-upload', 'process uploads', 'process-upload'],
  ])
})

test('a hostile traceparent in the metadata of an object does not stop its upload', async () => {
  const hostile = ['00-0000', '00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01', 'a'.repeat(1500)]
  for (const traceparent of hostile) {
    const address = await services.arrive(text, { filename, contentType: 'text/plain', traceparent })
    const upload = await services.finished(address)
    assert.equal([upload.state, upload.intent.traceparent], ['ready', undefined])
  }
})

test('a request whose client disconnects ends its span', async () => {
  const headers = { authorization: `Bearer ${key}`, 'content-type': 'text/plain', 'content-length': 1_000 }
  const sending = request(`${services.api.url}/upload?filename=${filename}`, { method: 'POST', headers })
  sending.on('error', () => {})
  // A request that was not sent yet would never come.
  await new Promise((resolve) => sending.write(text, resolve))
  sending.destroy()
  const span = await otlp.until(({ attributes }) => attributes['error.type'] === 'client_disconnected')
  assert.is(span.name, 'sendFile')
})

test('a receiver of traces that fails disturbs no upload, and is logged once', async () => {
  otlp.refuse()
  for (const _ of [1, 2]) {
    const upload = await announce(client, text.length, { filename, contentType: 'text/plain' })
    await sendForm(formOf(upload), text)
    await processed(upload.id)
  }
  const failed = ({ event }: Record<string, unknown>) => event === 'traces-not-exported'
  await services.worker.log.until(failed)
  await services.api.until('"traces-not-exported"')
  assert.equal(
    [services.apiLog().filter(failed).length, services.worker.log.lines.filter(failed).length],
    [1, 1],
  )
})

test('health checks, event streams and polls are no traces', async () => {
  await client.get('/health')
  await client.get('/ready')
  const stream = new AbortController()
  const events = await fetch(`${services.api.url}/events`, {
    headers: { authorization: `Bearer ${key}` },
    signal: stream.signal,
  })
  assert.is(events.status, 200)
  stream.abort()
  await client.get('/uploads')
  // Stopping exports all spans that have ended, and an export that fails does not disturb it.
  assert.equal(await services.stop(), [0, 0])
  const roots = new Set(otlp.spans.filter(({ parentSpanId }) => !parentSpanId).map(({ name }) => name))
  assert.ok(roots.has('listUploads'))
  for (const name of ['getHealth', 'getReadiness', 'watchUploads', 'getNextJob uploads', 'S3.ListObjectsV2'])
    assert.not.ok(roots.has(name), name)
})

test('only a process that traces loads the SDK of OpenTelemetry', () => {
  // tracing-processes.test.ts shows that without an endpoint neither loads it. This shows that it would see it.
  const loaded = [...services.apiLog(), ...services.worker.log.lines].flatMap(({ event, modules }) =>
    event === 'telemetry-modules' ? [String(modules)] : [],
  )
  assert.is(loaded.filter((modules) => modules.includes('sdk-trace')).length, 2)
})

test('no span contains a key, a signature, a name of a file, a URL of a source or a message', () => {
  const exported = otlp.bodies.join('\n')
  assert.ok(exported.includes('announceUpload'))
  for (const secret of [key, 'X-Amz', 'that-no-span', 's3cret', 'acme', 'Bearer'])
    assert.not.ok(exported.includes(secret), secret)
  for (const { events = [], status } of otlp.spans) assert.equal([events, status?.message ?? ''], [[], ''])
})

test.run()
