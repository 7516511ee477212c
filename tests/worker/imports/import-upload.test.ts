import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import {
  CreateMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
} from '@aws-sdk/client-s3'
import type { ImportRequest } from '@millrace/api/announcing/start-import.ts'
import { createEraseObjects, createListErasable } from '@millrace/shared/erasure/erase-objects.ts'
import { createErasures } from '@millrace/shared/erasure/erasures.ts'
import { importQueueName } from '@millrace/shared/jobs/import-upload-job.ts'
import { erasureKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { createEraseUpload } from '@millrace/shared/lifecycle/erase-upload.ts'
import { createFinishErasure } from '@millrace/shared/lifecycle/finish-erasure.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createImporter, type Importer } from '../support/announce-import.ts'
import { sampleImage } from '../support/sample-images.ts'
import { type SourceServer, startSourceServer } from '../support/source-server.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

// A worker process that gets hundreds of MiB, on a busy machine.
const test = suite('import upload', {}, { limitMs: 60_000 })
const MiB = 1024 ** 2
const owner = 's-tester'
const limits = { bytesTotal: 60 * MiB }
/** Three parts in S3, so that the tests pass few bytes. */
const maxUploadBytes = 18 * MiB
let fleet: WorkerFleet
let source: SourceServer
let importer: Importer
let queue: Queue

test.before(async () => {
  source = await startSourceServer()
  fleet = await startWorkerFleet({
    environment: {
      IMPORT_ALLOWED_NETWORKS: '127.0.0.1/32',
      IMPORT_ALLOWED_PORTS: String(source.port),
      MAX_UPLOAD_BYTES: String(maxUploadBytes),
      QUOTA_BYTES_TOTAL: String(limits.bytesTotal),
    },
  })
  importer = createImporter(fleet, { ports: [source.port], maxUploadBytes, limits })
  queue = new Queue(importQueueName, { connection: fleet.redis, prefix: fleet.prefix })
})
test.after(async () => {
  await queue.close()
  await importer.close()
  await fleet.close()
  await source.close()
})

function announce({ path, ...request }: Omit<ImportRequest, 'sourceUrl'> & { path: string }) {
  return importer.announce(source.url(path), request)
}

/** The quota in use by the owner, in bytes. */
async function reservedBytes(): Promise<number> {
  return Number(await fleet.redis.hget(`${fleet.prefix}:{${owner}}:quota`, 'bytes'))
}

async function openParts(): Promise<number> {
  const { Uploads = [] } = await fleet.s3.send(new ListMultipartUploadsCommand({ Bucket: fleet.bucket }))
  return Uploads.length
}

async function versions({ id }: UploadAddress): Promise<string[]> {
  const listed = await fleet.s3.send(new ListObjectVersionsCommand({ Bucket: fleet.bucket }))
  return (listed.Versions ?? []).map(({ Key = '' }) => Key).filter((key) => key.includes(id))
}

test('an imported image is processed like any other upload', async () => {
  const bytes = await sampleImage('image/png', 300, 200)
  let ageMs = 0
  source.on('/a/holiday.png', (_request, response) => {
    ageMs = worker.oldestJob.ageMs()
    response.writeHead(200, { 'content-type': 'image/png', 'content-length': bytes.length }).end(bytes)
  })
  const address = await announce({ path: '/a/holiday.png?signature=s3cret', metadata: { album: 'x' } })
  const waiting = await fleet.records.find(address)
  assert.equal([waiting?.upload.state, waiting?.upload.intent.filename], ['awaiting', 'holiday.png'])
  const job = await queue.getJob(address.id)
  assert.equal(job?.data, { version: 1, ...address })
  const worker = await fleet.startWorker()
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.variants.length, upload.findings.width], ['ready', 4, 300])
  assert.equal(upload.intent, {
    filename: 'holiday.png',
    contentType: 'image/png',
    size: bytes.length,
    preset: 'default',
    metadata: { album: 'x' },
  })
  assert.equal(await fleet.object(originalKey(address)), bytes)
  const steps = fleet.changes.states(address.id).filter((state, at, all) => state !== all[at - 1])
  assert.equal(steps, ['awaiting', 'received', 'processing', 'ready'])
  assert.not.match(JSON.stringify(upload), 's3cret')
  assert.not.match(JSON.stringify(await fleet.manifests.read(address)), 's3cret')
  assert.is(await reservedBytes(), bytes.length)
  await worker.close()
  assert.ok(ageMs > 0, 'a running import counts as the oldest job, which can protect the instance')
  assert.is(worker.oldestJob.ageMs(), 0)
})

test('an import has the name and type of the source unless the client sent them', async () => {
  source.on('/named', (_request, response) =>
    response
      .writeHead(200, {
        'content-type': 'text/plain; charset=utf-8',
        'content-disposition': 'attachment; filename="../../etc/na\tme.txt"',
      })
      .end('text'),
  )
  source.on('/long', (_request, response) =>
    response
      .writeHead(200, { 'content-disposition': `attachment; filename*=UTF-8''${'%C3%A4'.repeat(250)}` })
      .end('x'),
  )
  const worker = await fleet.startWorker()
  const fromSource = await fleet.finished(await announce({ path: '/named' }))
  assert.equal(
    [fromSource.intent.filename, fromSource.intent.contentType],
    ['name.txt', 'text/plain; charset=utf-8'],
  )
  const fromClient = await fleet.finished(
    await announce({ path: '/named', filename: 'mine.bin', contentType: 'a/b', size: 4 }),
  )
  assert.equal(
    [fromClient.state, fromClient.intent.filename, fromClient.intent.contentType],
    ['ready', 'mine.bin', 'a/b'],
  )
  const long = await fleet.finished(await announce({ path: '/long' }))
  assert.equal([long.state, /^ä{200,255}$/.test(long.intent.filename)], ['ready', true])
  await worker.close()
})

test('an import of unknown size is stored in parts, and its quota is its real size', async () => {
  // Each MiB is another one, and a few bytes follow the last whole part.
  const bytes = Buffer.alloc(16 * MiB + 3)
  for (let at = 0; at < bytes.length; at += MiB) bytes[at] = 1 + at / MiB
  source.on('/stream', (_request, response) => {
    for (let at = 0; at < bytes.length; at += MiB) response.write(bytes.subarray(at, at + MiB))
    response.end()
  })
  const before = await reservedBytes()
  const worker = await fleet.startWorker()
  const address = await announce({
    path: '/stream',
    sha256: createHash('sha256').update(bytes).digest('hex'),
  })
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.error, upload.intent.size], ['ready', undefined, bytes.length])
  assert.match(upload.arrival?.etag ?? '', /-3$/, 'three parts')
  assert.is((await reservedBytes()) - before, bytes.length)
  assert.is(await openParts(), 0)
  await worker.close()
})

/** Sources of an empty file: `/no-bytes` tells its size, `/nothing` does not. */
function startEmptySources(): void {
  source.on('/no-bytes', (_request, response) => response.writeHead(200, { 'content-length': 0 }).end())
  source.on('/nothing', (_request, response) => {
    response.write('')
    response.end()
  })
}

test('an empty file of a source is a file', async () => {
  startEmptySources()
  const before = await reservedBytes()
  const worker = await fleet.startWorker()
  for (const [path, request] of [
    ['/no-bytes', {}],
    ['/no-bytes', { size: 0, sha256: createHash('sha256').digest('hex') }],
    ['/nothing', {}],
    ['/nothing', { size: 0, contentType: 'text/plain' }],
  ] as const) {
    const address = await announce({ path, ...request })
    const { state, error, arrival, intent, findings } = await fleet.finished(address)
    assert.equal([state, error, arrival?.size, intent.size], ['ready', undefined, 0, 0], path)
    assert.is(findings.detectedType, undefined)
    assert.equal(await fleet.object(originalKey(address)), Buffer.alloc(0))
  }
  await worker.close()
  assert.is(await reservedBytes(), before)
})

test('imports that are missing, refused, too large or over quota are rejected', async () => {
  const before = await reservedBytes()
  const endless = (path: string, headers: Record<string, string | number>) =>
    source.on(path, (_request, response) => {
      response.writeHead(200, headers)
      const writeMore = () => {
        while (!response.destroyed && response.write(Buffer.alloc(MiB)));
      }
      response.on('drain', writeMore)
      writeMore()
    })
  endless('/endless', {})
  endless('/huge', { 'content-length': maxUploadBytes + 1 })
  endless('/beyond-quota', { 'content-length': 15 * MiB })
  source.redirect('/metadata', 'http://169.254.169.254/latest/meta-data/iam/')
  source.on('/five', (_request, response) => response.writeHead(200, { 'content-length': 5 }).end('bytes'))
  startEmptySources()
  const worker = await fleet.startWorker()
  const remaining = limits.bytesTotal - before
  const otherUpload = { owner, id: newUploadId() }
  const expected: [string, string, Partial<ImportRequest>?][] = [
    ['/missing', 'source_not_found'],
    ['/metadata', 'source_refused'],
    ['/huge', 'upload_too_large'],
    ['/endless', 'upload_too_large'],
    ['/endless', 'size_mismatch', { size: 9 * MiB }],
    ['/five', 'size_mismatch', { size: 6 }],
    ['/nothing', 'size_mismatch', { size: 1 }],
    ['/no-bytes', 'size_mismatch', { size: 1 }],
    ['/beyond-quota', 'quota_exceeded'],
  ]
  for (const [path, code, request] of expected) {
    const isOfQuota = code === 'quota_exceeded'
    if (isOfQuota) await importer.quota.reserve(otherUpload, remaining - 14 * MiB, Date.now() + 60_000)
    const address = await announce({ path, ...request })
    const upload = await fleet.finished(address)
    if (isOfQuota) await importer.quota.release(otherUpload)
    assert.equal([upload.state, upload.error?.code], ['rejected', code], path)
    assert.equal([upload.source, upload.expiresAt], [undefined, undefined])
    assert.equal(await versions(address), [], path)
  }
  // The change may be published before the import has cleaned up.
  await worker.close()
  assert.is(await openParts(), 0)
  assert.is(await reservedBytes(), before)
})

test('an import is not larger than its upload token allows, whether the source tells its size or not', async () => {
  const bytes = Buffer.alloc(100_000, 'x')
  source.on('/told', (_request, response) =>
    response.writeHead(200, { 'content-length': bytes.length }).end(bytes),
  )
  source.on('/untold', (_request, response) => response.end(bytes))
  const worker = await fleet.startWorker()
  const before = await reservedBytes()
  for (const path of ['/told', '/untold']) {
    const announceWith = (maxFileBytes: number) =>
      importer.announce(source.url(path), {}, undefined, { maxFileBytes })
    const upload = await fleet.finished(await announceWith(bytes.length - 1))
    assert.is(upload.state, 'rejected')
    assert.equal(upload.error, {
      code: 'upload_too_large',
      message: `The file has more than ${bytes.length - 1} bytes, which is maxFileBytes of the upload token.`,
    })
    assert.is((await fleet.finished(await announceWith(bytes.length))).state, 'ready')
  }
  await worker.close()
  assert.is(await reservedBytes(), before + 2 * bytes.length)
})

test('a source without an end is not read beyond what the upload token allows', async () => {
  const chunk = Buffer.alloc(MiB, 'x')
  source.on('/endless', (_request, response) => {
    const write = () => {
      while (!response.destroyed && response.write(chunk));
    }
    response.on('drain', write)
    write()
  })
  const worker = await fleet.startWorker()
  const address = await importer.announce(source.url('/endless'), {}, undefined, { maxFileBytes: 2 * MiB })
  const { error } = await fleet.finished(address)
  await worker.close()
  assert.equal(error, {
    code: 'upload_too_large',
    message: `The file has more than ${2 * MiB} bytes, which is maxFileBytes of the upload token.`,
  })
})

test('an import counts its size for the address that announced it, as soon as it is known', async () => {
  const bytes = Buffer.alloc(60_000, 'x')
  source.on('/sized', (_request, response) =>
    response.writeHead(200, { 'content-length': bytes.length }).end(bytes),
  )
  source.on('/unsized', (_request, response) => response.end(bytes))
  const worker = await fleet.startWorker({
    environment: { QUOTA_BYTES_PER_DAY_PER_ADDRESS: '100000' },
  })
  for (const [path, address] of [
    ['/sized', '198.51.100.1'],
    ['/unsized', '198.51.100.2'],
  ] as const) {
    const first = await fleet.finished(await importer.announce(source.url(path), {}, address))
    assert.is(first.error, undefined, path)
    const second = await fleet.finished(await importer.announce(source.url(path), {}, address))
    assert.equal([second.state, second.error?.code], ['rejected', 'quota_exhausted_today'], path)
    assert.match(second.error?.message ?? '', /one address/)
  }
  await worker.close()
})

test('an import that exceeds its timeout is rejected', async () => {
  source.on('/slow', (_request, response) => {
    const timer = setInterval(() => response.write('x'), 20)
    response.on('close', () => clearInterval(timer))
  })
  const worker = await fleet.startWorker({ environment: { IMPORT_TIMEOUT_MS: '300' } })
  const upload = await fleet.finished(await announce({ path: '/slow' }))
  assert.equal([upload.state, upload.error?.code], ['rejected', 'source_too_slow'])
  await worker.close()
})

test('an import is retried if its source breaks off, and fails after the last attempt', async () => {
  const before = await reservedBytes()
  let requests = 0
  source.on('/breaks', (_request, response) => {
    requests += 1
    response.writeHead(200, { 'content-length': 2 * MiB })
    if (requests > 2) return response.end(Buffer.alloc(2 * MiB))
    // The connection closes within the body.
    return response.write(Buffer.alloc(MiB), () => response.destroy())
  })
  source.on('/failing', (_request, response) => response.writeHead(503).end())
  const addJob = async (path: string) => {
    const address = await announce({ path })
    await queue.remove(address.id)
    await queue.add('import-upload', { version: 1, ...address }, { jobId: address.id, attempts: 3 })
    return address
  }
  const recovering = await addJob('/breaks')
  const failing = await addJob('/failing')
  const worker = await fleet.startWorker()
  assert.is((await fleet.finished(recovering)).state, 'ready')
  assert.is(requests, 3)
  const failed = await fleet.finished(failing)
  assert.equal(
    [failed.state, failed.error],
    [
      'failed',
      { code: 'source_unavailable', message: 'The source returned status 503 instead of the file.' },
    ],
  )
  await worker.close()
  assert.is(await queue.getJobState(failing.id), 'failed')
  assert.is((await reservedBytes()) - before, 2 * MiB)
})

test('an import stores the bytes of its Content-Length only', async () => {
  source.on('/longer', ({ socket }) => {
    socket.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nbytes and extra bytes')
  })
  const worker = await fleet.startWorker()
  const address = await announce({ path: '/longer' })
  assert.is((await fleet.finished(address)).state, 'ready')
  assert.is(String(await fleet.object(originalKey(address))), 'bytes')
  await worker.close()
})

test('an import stops when its upload is erased, and leaves no objects', async () => {
  const started = Promise.withResolvers<void>()
  const closed = Promise.withResolvers<void>()
  source.on('/erased', (_request, response) => {
    response.write(Buffer.alloc(9 * MiB), () => started.resolve())
    response.on('close', () => closed.resolve())
  })
  const before = await reservedBytes()
  const worker = await fleet.startWorker()
  const running = await announce({ path: '/erased' })
  await started.promise
  const eraseUpload = createEraseUpload({
    records: fleet.records,
    queue: fleet.queue,
    imports: importer.imports,
    listErasable: createListErasable(fleet),
    erasures: createErasures(fleet),
    finishErasure: createFinishErasure({
      records: fleet.records,
      eraseObjects: createEraseObjects(fleet),
      quota: importer.quota,
      tellErasure: async () => {},
      forgetDeliveries: async () => {},
      withdrawals: { add: async () => {} },
      hasCdn: false,
    }),
  })
  await eraseUpload(running)
  await closed.promise
  await worker.close()
  // A waiting import is removed from the queue.
  const waiting = await announce({ path: '/erased' })
  await eraseUpload(waiting)
  assert.is(await queue.getJob(waiting.id), undefined)
  assert.is(await queue.getJob(running.id), undefined, 'its job has completed')
  for (const address of [running, waiting]) {
    assert.is(await fleet.records.find(address), undefined)
    assert.equal(await versions(address), [erasureKey(address)])
  }
  assert.is(await openParts(), 0)
  assert.is(await reservedBytes(), before)
})

test('an import does not fetch a stored file, and aborts multipart uploads of an earlier attempt', async () => {
  source.on('/once', (_request, response) => response.end('once'))
  const address = await announce({ path: '/once' })
  const stored = await announce({ path: '/once?stored', size: 4 })
  await fleet.s3.send(new CreateMultipartUploadCommand({ Bucket: fleet.bucket, Key: originalKey(address) }))
  await fleet.arrive(Buffer.from('four'), stored)
  const worker = await fleet.startWorker()
  assert.is((await fleet.finished(address)).state, 'ready')
  assert.is((await fleet.finished(stored)).state, 'ready')
  await worker.close()
  assert.is(await openParts(), 0)
  assert.is(source.seen.filter(({ path }) => path === '/once?stored').length, 0)
  assert.is(source.seen.filter(({ path }) => path === '/once').length, 1)
})

test('an import is stored although Redis lost its record', async () => {
  const started = Promise.withResolvers<() => void>()
  source.on('/lost.txt', (_request, response) => {
    response.writeHead(200, { 'content-length': 4, 'content-type': 'text/plain' })
    response.write('fo', () => started.resolve(() => void response.end('ur')))
  })
  const worker = await fleet.startWorker()
  const address = await announce({ path: '/lost.txt' })
  const end = await started.promise
  await fleet.redis.del(`${fleet.prefix}:{${owner}}:upload:${address.id}`)
  end()
  const upload = await fleet.finished(address)
  assert.equal([upload.state, upload.intent.filename, upload.arrival?.size], ['ready', 'lost.txt', 4])
  await worker.close()
})

test('import jobs without a record or with an invalid payload end after one attempt', async () => {
  const unknown = newUploadId()
  await importer.imports.add({ owner, id: unknown })
  const invalid = await queue.add('import-upload', { version: 1, owner, url: 'http://x' }, { attempts: 3 })
  const worker = await fleet.startWorker()
  source.on('/later', (_request, response) => response.end('later'))
  await fleet.finished(await announce({ path: '/later' }))
  await worker.close()
  assert.is(await queue.getJob(unknown), undefined)
  assert.is(await queue.getJobState(invalid.id ?? ''), 'failed')
  assert.is((await queue.getJob(invalid.id ?? ''))?.attemptsMade, 1)
})

// Last, because its imports never end.
test("a worker's memory does not follow the claim of sources of 5 TiB", async () => {
  const sentMiB = 80
  const claimedBytes = 5 * 1024 ** 4
  const chunk = Buffer.alloc(MiB)
  const allSent = Promise.withResolvers<void>()
  let sources = 0
  source.on('/claims', async (_request, response) => {
    response.writeHead(200, { 'content-length': claimedBytes })
    for (let count = 0; count < sentMiB; count++) {
      await new Promise((resolve) => response.write(chunk, resolve))
    }
    sources += 1
    if (sources === 3) allSent.resolve()
  })
  source.on('/small', (_request, response) => response.end(Buffer.alloc(10 * MiB)))
  const worker = await fleet.spawnWorker({
    MAX_UPLOAD_BYTES: String(claimedBytes),
    QUOTA_BYTES_TOTAL: String(4 * claimedBytes),
  })
  const peakMiB = async () => {
    const status = await readFile(`/proc/${worker.pid}/status`, 'utf8')
    return Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024
  }
  await fleet.finished(await announce({ path: '/small' }))
  const before = await peakMiB()
  await Promise.all([1, 2, 3].map(() => announce({ path: '/claims' })))
  await allSent.promise
  const growth = (await peakMiB()) - before
  worker.kill('SIGKILL')
  await worker.exit()
  assert.ok(growth < 160, `the peak grew by ${Math.round(growth)} MiB`)
})

test.run()
