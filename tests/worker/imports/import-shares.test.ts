import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import { importQueueName } from '@millrace/shared/jobs/import-upload-job.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { Queue } from 'bullmq'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createImporter, type Importer } from '../support/announce-import.ts'
import { type SourceServer, startSourceServer } from '../support/source-server.ts'
import { startWorkerFleet, type WorkerFleet } from '../support/worker-fleet.ts'

const test = suite('import shares')
let fleet: WorkerFleet
let source: SourceServer
let slow: Importer
let other: Importer
/** The slow source's open responses. */
let open: Set<ServerResponse>
/** Called when one more slow response has begun. */
let opened: (count: number) => void = () => {}
let atOnce = 0

test.before.each(async () => {
  source = await startSourceServer()
  open = new Set()
  atOnce = 0
  source.on('/slow', (_request, response) => {
    response.writeHead(200, { 'content-type': 'text/plain' })
    response.write('x')
    const timer = setInterval(() => response.write('x'), 1_000)
    open.add(response)
    atOnce = Math.max(atOnce, open.size)
    response
      .on('error', () => {})
      .on('close', () => {
        clearInterval(timer)
        open.delete(response)
      })
    opened(open.size)
  })
  source.on('/fast', (_request, response) => void response.end('text'))
  fleet = await startWorkerFleet({
    environment: {
      IMPORT_ALLOWED_NETWORKS: '127.0.0.1/32',
      IMPORT_ALLOWED_PORTS: String(source.port),
      IMPORT_MIN_BYTES_PER_SECOND: '0',
      IMPORT_SLOTS: '4',
    },
  })
  const options = { ports: [source.port], maxUploadBytes: 1024 ** 2 }
  slow = createImporter(fleet, { ...options, owner: 's-slow' })
  other = createImporter(fleet, { ...options, owner: 's-other' })
})
test.after.each(async () => {
  opened = () => {}
  for (const response of open) response.end()
  await slow.close()
  await other.close()
  await fleet.close()
  await source.close()
})

/** Resolves when this many slow sources send at the same time. */
function untilOpen(count: number): Promise<void> {
  return new Promise((resolve) => {
    opened = (size) => {
      if (size >= count) resolve()
    }
    opened(open.size)
  })
}

async function announceSlow(count: number): Promise<UploadAddress[]> {
  const addresses: UploadAddress[] = []
  for (let i = 0; i < count; i++) addresses.push(await slow.announce(source.url('/slow')))
  return addresses
}

test('imports of slow sources leave half of the slots to other owners', async () => {
  const addresses = await announceSlow(8)
  await fleet.startWorker()
  await untilOpen(2)
  const imported = await other.announce(source.url('/fast'))
  assert.is((await fleet.finished(imported)).state, 'ready')
  assert.is(open.size, 2, 'the slow ones are still running')
  assert.is(atOnce, 2)

  // The others of the slow owner follow as its slots become free, and none has lost an attempt.
  const queue = new Queue(importQueueName, { connection: fleet.redis, prefix: fleet.prefix })
  const jobs = await Promise.all(addresses.map(({ id }) => queue.getJob(id)))
  assert.equal(
    jobs.map((job) => job?.attemptsMade),
    addresses.map(() => 0),
  )
  await queue.close()
  opened = () => {
    for (const response of open) response.end()
  }
  opened(open.size)
  for (const address of addresses) assert.is((await fleet.finished(address)).state, 'ready')
  assert.is(atOnce, 2)
})

test("another owner's import starts before the waiting imports of an owner with many", async () => {
  await fleet.startWorker({ environment: { IMPORT_SLOTS: '1' } })
  const order: string[] = []
  const held = Promise.withResolvers<ServerResponse>()
  source.on('/held', (_request, response) => {
    response.write('x')
    held.resolve(response)
  })
  for (const path of ['/a', '/b']) {
    source.on(path, (_request, response) => {
      order.push(path)
      response.end('text')
    })
  }
  await slow.announce(source.url('/held'))
  const response = await held.promise
  const waiting: UploadAddress[] = []
  for (let i = 0; i < 5; i++) waiting.push(await slow.announce(source.url('/a')))
  const newcomer = await other.announce(source.url('/b'))
  response.end()
  await once(response, 'close')
  for (const address of [...waiting, newcomer]) await fleet.finished(address)
  assert.is(order[0], '/b', order.join())
})

test('a source below the minimum rate is given up for good, and its slot is free', async () => {
  await fleet.startWorker({
    environment: { IMPORT_SLOTS: '1', IMPORT_MIN_BYTES_PER_SECOND: '1024', IMPORT_IDLE_TIMEOUT_MS: '2000' },
  })
  const [address] = await announceSlow(1)
  assert.ok(address)
  const { state, error } = await fleet.finished(address)
  assert.equal([state, error?.code], ['rejected', 'source_too_slow'])
  const imported = await other.announce(source.url('/fast'))
  assert.is((await fleet.finished(imported)).state, 'ready')
})

test.run()
