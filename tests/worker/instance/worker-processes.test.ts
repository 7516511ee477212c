import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createImporter } from '../support/announce-import.ts'
import { type S3Proxy, startS3Proxy } from '../support/s3-proxy.ts'
import { phonePhoto, sampleImage } from '../support/sample-images.ts'
import { startSourceServer } from '../support/source-server.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

// A job whose worker was killed waits for its lock to run out, some 15 s.
const test = suite('worker processes', {}, { limitMs: 60_000 })
const MiB = 1024 ** 2
/** As much as shows that memory does not grow with the file. */
const importMiB = Number(process.env['MEMORY_TEST_MIB'] ?? 64)
let fleet: WorkerFleet
let proxy: S3Proxy

test.before.each(async () => {
  fleet = await startWorkerFleet()
  proxy = await startS3Proxy(fleet.environment['AWS_ENDPOINT_URL_S3'] ?? '')
})
test.after.each(async () => {
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

const writesVariant = ({ method, path }: { method: string; path: string }) =>
  method === 'PUT' && path.includes('/variants/')

test('finishes, once, what a killed worker was in the middle of', async () => {
  const source = await startSourceServer()
  const importing = {
    LOG_LEVEL: 'trace',
    IMPORT_ALLOWED_NETWORKS: '127.0.0.1',
    IMPORT_ALLOWED_PORTS: String(source.port),
    // Nobody is there: sources are asked without it.
    NODE_USE_ENV_PROXY: '1',
    HTTP_PROXY: 'http://127.0.0.1:1',
    http_proxy: 'http://127.0.0.1:1',
  }
  const importer = createImporter(fleet, { ports: [source.port], maxUploadBytes: 64 * MiB })
  const halfSent = Promise.withResolvers<void>()
  let asked = 0
  source.on('/file', (_request, response) => {
    asked += 1
    if (asked === 1) response.write(Buffer.alloc(20 * MiB), () => halfSent.resolve())
    else if (asked === 2) response.writeHead(503).end()
    else response.end('whole')
  })
  const held = proxy.hold(writesVariant)
  const doomed = await fleet.spawnWorker({ ...throughProxy(), ...importing })
  const imported = await importer.announce(source.url('/file?token=s3cret'))
  const address = await fleet.arrive(await phonePhoto(400, 300))
  await Promise.all([held.arrived, halfSent.promise])
  doomed.kill('SIGKILL')
  assert.is(await doomed.exit(), 'SIGKILL')
  assert.is(await openParts(), 1)

  const heir = await fleet.spawnWorker(importing)
  const upload = await fleet.finished(address)
  assert.is(upload.state, 'ready')
  assert.is(upload.variants.length, 4)
  assert.equal(fleet.changes.states(address.id), ['received', 'processing', 'ready'])

  assert.is((await fleet.finished(imported)).state, 'ready')
  assert.is(String(await fleet.object(originalKey(imported))), 'whole')
  assert.is(await openParts(), 0)
  heir.kill('SIGTERM')
  assert.is(await heir.exit(), 0)
  const log = JSON.stringify([...doomed.log.lines, ...heir.log.lines])
  assert.match(log, 'attempt-failed')
  assert.not.match(log, 's3cret')
  await importer.close()
  await source.close()
})

test('keeps its memory flat while imports pass through', async () => {
  const source = await startSourceServer()
  const piece = Buffer.alloc(MiB, 'x')
  const send = (pieces: number, headers: Record<string, number>) =>
    source.on('/file', async (_request, response) => {
      response.writeHead(200, headers)
      for (let sent = 0; sent < pieces; sent++) if (!response.write(piece)) await once(response, 'drain')
      response.end()
    })
  const importer = createImporter(fleet, { ports: [source.port], maxUploadBytes: 1024 * MiB })
  const worker = await fleet.spawnWorker({
    IMPORT_ALLOWED_NETWORKS: '127.0.0.1',
    IMPORT_ALLOWED_PORTS: String(source.port),
  })
  const take = async (pieces: number, headers: Record<string, number>) => {
    send(pieces, headers)
    const upload = await fleet.finished(await importer.announce(source.url('/file')))
    assert.equal([upload.state, upload.arrival?.size], ['ready', pieces * MiB])
  }
  /** The most that it ever had, MiB; on Linux the kernel keeps count. */
  const peak = async () =>
    Number(/VmHWM:\s+(\d+) kB/.exec(await readFile(`/proc/${worker.pid}/status`, 'utf8'))?.[1]) / 1024
  // What the first one of each kind loads and compiles is no part of what a large one takes.
  await take(1, { 'content-length': MiB })
  await take(17, {})
  const resting = await peak()
  await take(importMiB, { 'content-length': importMiB * MiB })
  await take(importMiB, {})
  const grown = (await peak()) - resting
  assert.ok(grown < 48, `${grown} MiB more than ${resting}`)
  await importer.close()
  await source.close()
})

test('on SIGTERM takes nothing more, finishes what it has and exits with 0', async () => {
  const held = proxy.hold(writesVariant)
  const worker = await fleet.spawnWorker(throughProxy())
  const address = await fleet.arrive(await sampleImage('image/jpeg'))
  await held.arrived
  worker.kill('SIGTERM')
  await worker.log.until((line) => line['event'] === 'closing')
  worker.kill('SIGTERM')
  worker.kill('SIGINT')
  const late = await fleet.arrive(await sampleImage('image/png'))
  held.release()
  assert.is(await worker.exit(), 0)
  assert.is((await fleet.finished(address)).state, 'ready')
  assert.equal(fleet.changes.states(late.id), [], 'what came later is left for others')
  assert.equal(
    worker.log.lines
      .filter(({ event }) => event === 'closing' || event === 'closed')
      .map(({ event }) => event),
    ['closing', 'closed'],
  )
})

test('hands back what is not finished by the deadline', async () => {
  const held = proxy.hold(writesVariant)
  const worker = await fleet.spawnWorker({ ...throughProxy(), DRAIN_DEADLINE_MS: '100' })
  const address = await fleet.arrive(await sampleImage('image/jpeg'))
  await held.arrived
  worker.kill('SIGTERM')
  assert.is(await worker.exit(), 0)
  assert.ok(worker.log.lines.some(({ event }) => event === 'handed-back'))

  const heir = await fleet.spawnWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
  assert.is(
    heir.log.lines.some(({ event }) => event === 'stalled'),
    false,
    'nobody had to wait for a lock to run out',
  )
})

test('a worker whose Redis goes away during a job exits in time, with 1', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-redis-'))
  const redisServer = await startRedisServer({ directory })
  const stranded = await startWorkerFleet({ redisUrl: redisServer.url })
  const ownProxy = await startS3Proxy(stranded.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  const held = ownProxy.hold(writesVariant)
  const worker = await stranded.spawnWorker({
    AWS_ENDPOINT_URL_S3: ownProxy.endpoint,
    DRAIN_DEADLINE_MS: '100',
  })
  await stranded.arrive(await sampleImage('image/png'))
  await held.arrived
  await redisServer.close()
  worker.kill('SIGTERM')
  assert.is(await worker.exit(), 1)
  const failed = worker.log.lines.filter(({ event }) => event === 'close-failed')
  assert.equal(
    failed.map(({ phase }) => phase),
    ['jobs'],
  )
  await stranded.close()
  await ownProxy.close()
  await rm(directory, { recursive: true })
})

test('exits when it is told to while it still waits for Redis', async () => {
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
  const held = proxy.hold(writesVariant)
  const crash = `data:text/javascript,process.on('SIGUSR2',()=>{throw(Error('crash'))})`
  const worker = await fleet.spawnWorker({ ...throughProxy(), NODE_OPTIONS: `--import=${crash}` })
  const address = await fleet.arrive(await sampleImage('image/jpeg'))
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
  await fleet.spawnWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
})

test('logs one line per upload, with what one looks for and no signed address', async () => {
  const worker = await fleet.spawnWorker()
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
  assert.equal(steps, ['find', 'inspect', 'open', 'read', 'render', 'settle', 'total', 'write'])
  const all = JSON.stringify(worker.log.lines)
  assert.is(all.includes('my-secret-name'), false)
  assert.is(all.includes('X-Amz-'), false)
})

test.run()
