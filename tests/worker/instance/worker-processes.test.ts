import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import * as assert from 'uvu/assert'
import { nodeOptionsWith } from '../../support/process-environment.ts'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { createImporter } from '../support/announce-import.ts'
import { phonePhoto, sampleImage } from '../support/sample-images.ts'
import { startSourceServer } from '../support/source-server.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

// A job whose worker was killed waits until its lock expires, some 15 s.
const test = suite('worker processes', {}, { limitMs: 60_000 })
const MiB = 1024 ** 2
/** Large enough to show that memory does not grow with the file. */
const importMiB = Number(process.env['MEMORY_TEST_MIB'] ?? 96)
let fleet: WorkerFleet
let proxy: S3Proxy

test.before(async () => {
  fleet = await startWorkerFleet()
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
})
test.after.each(() => fleet.reset())
test.after(async () => {
  await fleet.close()
  await proxy.close()
})

async function openParts(): Promise<number> {
  const { Uploads = [] } = await fleet.s3.send(new ListMultipartUploadsCommand({ Bucket: fleet.bucket }))
  return Uploads.length
}

function throughProxy() {
  return { AWS_ENDPOINT_URL_S3: proxy.endpoint }
}

const writes =
  (prefix: string) =>
  ({ method, path }: { method: string; path: string }) =>
    method === 'PUT' && path.includes(`/${prefix}/`)
/** A file without variants, which needs no decoder. */
const text = Buffer.from('just text')

test('the active job and import of a killed worker are finished once by another worker', async () => {
  const source = await startSourceServer()
  const importing = {
    LOG_LEVEL: 'trace',
    IMPORT_ALLOWED_NETWORKS: '127.0.0.1',
    IMPORT_ALLOWED_PORTS: String(source.port),
  }
  // No server listens there: imports do not use the proxy.
  const withProxy = {
    NODE_USE_ENV_PROXY: '1',
    HTTP_PROXY: 'http://127.0.0.1:1',
    http_proxy: 'http://127.0.0.1:1',
  }
  const importer = createImporter(fleet, { ports: [source.port], maxUploadBytes: 64 * MiB })
  const halfSent = Promise.withResolvers<void>()
  let requests = 0
  source.on('/file', (_request, response) => {
    requests += 1
    if (requests === 1) response.write(Buffer.alloc(20 * MiB), () => halfSent.resolve())
    else if (requests === 2) response.writeHead(503).end()
    else response.end('whole')
  })
  const held = proxy.hold(writes('variants'))
  const killed = await fleet.spawnWorker({ ...throughProxy(), ...importing, ...withProxy })
  const imported = await importer.announce(source.url('/file?token=s3cret'))
  const address = await fleet.arrive(await phonePhoto(400, 300))
  await Promise.all([held.arrived, halfSent.promise])
  killed.kill('SIGKILL')
  assert.is(await killed.exit(), 'SIGKILL')
  assert.is(await openParts(), 1)

  const successor = await fleet.startWorker({ environment: importing })
  const upload = await fleet.finished(address)
  assert.is(upload.state, 'ready')
  assert.is(upload.variants.length, 4)
  assert.equal(fleet.changes.states(address.id), ['received', 'processing', 'ready'])

  assert.is((await fleet.finished(imported)).state, 'ready')
  assert.is(String(await fleet.object(originalKey(imported))), 'whole')
  assert.is(await openParts(), 0)
  await successor.close()
  const log = JSON.stringify([...killed.log.lines, ...successor.log.lines])
  assert.match(log, 'attempt-failed')
  assert.not.match(log, 's3cret')
  await importer.close()
  await source.close()
})

test('worker memory does not grow with the size of an import', async () => {
  const source = await startSourceServer()
  const chunk = Buffer.alloc(MiB, 'x')
  const send = (chunks: number, headers: Record<string, number>) =>
    source.on('/file', async (_request, response) => {
      response.writeHead(200, headers)
      for (let sent = 0; sent < chunks; sent++) if (!response.write(chunk)) await once(response, 'drain')
      response.end()
    })
  const importer = createImporter(fleet, { ports: [source.port], maxUploadBytes: 1024 * MiB })
  const worker = await fleet.spawnWorker({
    IMPORT_ALLOWED_NETWORKS: '127.0.0.1',
    IMPORT_ALLOWED_PORTS: String(source.port),
  })
  const runImport = async (chunks: number, headers: Record<string, number>) => {
    send(chunks, headers)
    const upload = await fleet.finished(await importer.announce(source.url('/file')))
    assert.equal([upload.state, upload.arrival?.size], ['ready', chunks * MiB])
  }
  /** The worker's highest memory use so far in MiB, as counted by the Linux kernel. */
  const peak = async () =>
    Number(/VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${worker.pid}/status`, 'utf8'))?.[1]) / 1024
  // Not measured: the first import of each kind loads and compiles code.
  await runImport(1, { 'content-length': MiB })
  await runImport(17, {})
  const before = await peak()
  await runImport(importMiB, { 'content-length': importMiB * MiB })
  await runImport(importMiB, {})
  const grown = (await peak()) - before
  assert.ok(grown < 64, `${grown} MiB more than ${before}`)
  await importer.close()
  await source.close()
})

test('on SIGTERM a worker takes no new jobs, finishes active ones and exits with 0', async () => {
  const held = proxy.hold(writes('manifests'))
  const worker = await fleet.spawnWorker(throughProxy())
  const address = await fleet.arrive(text)
  await held.arrived
  worker.kill('SIGTERM')
  await worker.log.until((line) => line['event'] === 'closing')
  worker.kill('SIGTERM')
  worker.kill('SIGINT')
  const late = await fleet.arrive(text)
  held.release()
  assert.is(await worker.exit(), 0)
  assert.is((await fleet.finished(address)).state, 'ready')
  assert.equal(fleet.changes.states(late.id), [], 'later uploads are left to other workers')
  assert.equal(
    worker.log.lines
      .filter(({ event }) => event === 'closing' || event === 'closed')
      .map(({ event }) => event),
    ['closing', 'closed'],
  )
})

test('a worker hands back jobs that are unfinished at the drain deadline', async () => {
  const held = proxy.hold(writes('manifests'))
  const worker = await fleet.spawnWorker({ ...throughProxy(), DRAIN_DEADLINE_MS: '100' })
  const address = await fleet.arrive(text)
  await held.arrived
  worker.kill('SIGTERM')
  assert.is(await worker.exit(), 0)
  assert.ok(worker.log.lines.some(({ event }) => event === 'handed-back'))
  const wakes = await fleet.redis.zcard(`${fleet.prefix}:uploads:marker`)
  assert.is(wakes, 1, 'an idle worker would be woken at once')

  held.release()
  const successor = await fleet.startWorker({ environment: { LOG_LEVEL: 'info' } })
  assert.is((await fleet.finished(address)).state, 'ready')
  assert.is(
    successor.log.lines.some(({ event }) => event === 'stalled'),
    false,
    'no lock had to expire',
  )
})

test('a worker that loses Redis during a job exits by its deadline with 1', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  const redisServer = await startRedisServer({ directory })
  const ownFleet = await startWorkerFleet({ redisUrl: redisServer.url })
  const ownProxy = await startS3Proxy(ownFleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  const held = ownProxy.hold(writes('manifests'))
  const worker = await ownFleet.spawnWorker({
    AWS_ENDPOINT_URL_S3: ownProxy.endpoint,
    DRAIN_DEADLINE_MS: '100',
  })
  await ownFleet.arrive(text)
  await held.arrived
  await redisServer.close()
  worker.kill('SIGTERM')
  assert.is(await worker.exit(), 1)
  const failed = worker.log.lines.filter(({ event }) => event === 'close-failed')
  assert.equal(
    failed.map(({ phase }) => phase),
    ['jobs'],
  )
  await ownFleet.close()
  await ownProxy.close()
  await rm(directory, { recursive: true })
})

test('a worker that waits for Redis at its start exits on SIGTERM', async () => {
  const worker = fleet.startProcess({ REDIS_URL: 'redis://127.0.0.1:1', DRAIN_DEADLINE_MS: '100' })
  await worker.log.until((line) => line['msg'] === 'Redis connection')
  worker.kill('SIGTERM')
  assert.is(await worker.exit(), 0)
})

test('a worker whose health port is taken logs one fatal line and exits with 1', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  const port = typeof address === 'object' ? address?.port : undefined
  const worker = fleet.startProcess({ HEALTH_PORT: String(port) })
  assert.is(await worker.exit(), 1)
  const fatal = worker.log.lines.filter(({ level }) => level === 60)
  assert.equal(
    fatal.map(({ event }) => event),
    ['start-failed'],
  )
  taken.close()
  await once(taken, 'close')
})

test('a worker that crashes hands its jobs back and exits with 1', async () => {
  const held = proxy.hold(writes('manifests'))
  const crash = `data:text/javascript,process.on('SIGUSR2',()=>{throw(Error('crash'))})`
  const worker = await fleet.spawnWorker({ ...throughProxy(), NODE_OPTIONS: nodeOptionsWith(crash) })
  const address = await fleet.arrive(text)
  await held.arrived
  worker.kill('SIGUSR2')
  assert.is(await worker.exit(), 1)
  const events = worker.log.lines.map(({ event }) => event)
  const order = ['crashed', 'closing', 'handed-back', 'closed']
  assert.equal(
    events.filter((event) => order.includes(`${event}`)),
    order,
  )
  held.release()
  await fleet.startWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test('a worker logs one line per upload with ids and durations, without the filename and signed URLs', async () => {
  const worker = await fleet.startWorker({ environment: { LOG_LEVEL: 'info' } })
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const bytes = await sampleImage('image/jpeg')
  const { id, owner } = await fleet.arrive(bytes, { filename: 'my-secret-name.jpg', traceparent })
  await fleet.finished({ id, owner })
  const line = await worker.log.until(({ event }) => event === 'processed')
  assert.equal(
    [line['uploadId'], line['owner'], line['traceparent'], line['outcome'], line['bytes'], line['variants']],
    [id, owner, traceparent, 'ready', bytes.length, 4],
  )
  const steps = Object.keys(line['ms'] ?? {}).sort()
  assert.equal(steps, ['admit', 'find', 'open', 'read', 'render', 'settle', 'total', 'write'])
  const all = JSON.stringify(worker.log.lines)
  assert.is(all.includes('my-secret-name'), false)
  assert.is(all.includes('X-Amz-'), false)
})

test.run()
