import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { connectBlockingRedis, connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createUploadRecords } from '@millrace/shared/uploads/upload-records.ts'
import { createApp } from '@millrace/worker/app.ts'
import { readConfig } from '@millrace/worker/config.ts'
import { createTrimming } from '@millrace/worker/trimming/trimming.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { limitRedisMemory } from '../../support/limit-redis-memory.ts'
import { announce, formOf, readUpload, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'
import { sampleImage } from '../support/sample-images.ts'

const test = suite('a Redis that fills with history')
const hourMs = 3_600_000
/** The size of a key that no trimming may delete. */
const otherBytes = 20 * 1024 ** 2

let directory: string
let redisServer: RedisServer
let api: ApiInstances
let client: HttpClient
let closeWorkers: (() => Promise<void>)[]

test.before.each(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-trimming-'))
  redisServer = await startRedisServer({ directory })
  api = await startApiInstances({ redisUrl: redisServer.url })
  client = createHttpClient(api.url)
  await client.get('/session')
  closeWorkers = []
})
test.after.each(async () => {
  for (const close of closeWorkers) await close()
  await api.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

const small = { filename: 'a.bin', contentType: 'image/png', size: 7 }
const announceStatus = async () => (await client.post('/uploads', small)).status

/** Creates a log, and awaits the first line about a run of the trimmer. */
function watchTrimming() {
  const trimmed = Promise.withResolvers<Record<string, unknown>>()
  const log = createLog(
    { level: 'info', instance: 'worker' },
    {
      write(text) {
        const line: Record<string, unknown> = JSON.parse(text)
        if (line['event'] === 'records-trimmed') trimmed.resolve(line)
      },
    },
  )
  return { log, trimmed: trimmed.promise }
}

/** Starts a worker on the queue, bucket and Redis of the API. */
async function startWorker() {
  const config = readConfig({ ...api.environment, REDIS_URL: redisServer.url, WORKER_SLOTS: '2' })
  const { log, trimmed } = watchTrimming()
  const redis = connectRedis(redisServer.url, log)
  const blockingRedis = connectBlockingRedis(redisServer.url, log)
  const { s3, sqs } = api
  const app = createApp(config, log, { redis, blockingRedis, s3, streamingS3: s3, sqs })
  await app.start()
  closeWorkers.push(async () => {
    await app.close()
    redis.disconnect()
    blockingRedis.disconnect()
  })
  return { trimmed }
}

/** Creates records of uploads that were finished this long ago. */
async function fillWithHistory(count: number, ageMs: number): Promise<void> {
  const records = createUploadRecords(api)
  const finishedAt = new Date(Date.now() - ageMs).toISOString()
  const history = Array.from(
    { length: count },
    (_, index): Upload => ({
      id: newUploadId(),
      owner: `s-history-${index % 100}`,
      state: 'ready',
      intent: { filename: 'photo.jpg', contentType: 'image/jpeg', size: 7, preset: 'default' },
      arrival: { etag: 'etag', size: 7 },
      findings: {},
      variants: [],
      createdAt: finishedAt,
      updatedAt: finishedAt,
    }),
  )
  await Promise.all(history.map((upload) => records.create(upload)))
}

async function finished(id: string): Promise<Upload['state']> {
  let state: Upload['state'] = 'awaiting'
  await until(async () => {
    state = (await readUpload(client, id)).state
    return state === 'ready' || state === 'rejected' || state === 'failed'
  })
  return state
}

test('jobs end while uploads are refused, and uploads are accepted again once the history is trimmed', async () => {
  const image = new Uint8Array(await sampleImage('image/png'))
  await fillWithHistory(5_000, 2 * hourMs)
  const admitted = await announce(client, image.length, { contentType: 'image/png' })
  await limitRedisMemory(api.redis, 0.85)
  await until(async () => (await announceStatus()) === 503)
  assert.ok((await sendForm(formOf(admitted), image)).ok)
  const worker = await startWorker()
  const line = await worker.trimmed
  assert.ok(Number(line['usedShare']) <= 0.55, JSON.stringify(line))
  assert.is(await finished(admitted.id), 'ready')
  await until(async () => (await announceStatus()) === 201)
})

test('jobs end and uploads are refused while nothing can be trimmed, and the log says so', async () => {
  const image = new Uint8Array(await sampleImage('image/png'))
  const admitted = await announce(client, image.length, { contentType: 'image/png' })
  await api.redis.setrange('other data', otherBytes, 'x')
  await limitRedisMemory(api.redis, 0.85)
  await until(async () => (await announceStatus()) === 503)
  assert.ok((await sendForm(formOf(admitted), image)).ok)
  const worker = await startWorker()
  const line = await worker.trimmed
  assert.equal([line['level'], line['deleted']], [40, 0])
  assert.is(await finished(admitted.id), 'ready')
  assert.is(await announceStatus(), 503)
  assert.is(await api.redis.get(`${api.prefix}:trimming`), 'paused')
  // A minute, of which the test has used some seconds.
  const pauseLeftMs = await api.redis.pttl(`${api.prefix}:trimming`)
  assert.ok(pauseLeftMs <= 60_000 && pauseLeftMs > 15_000, `${pauseLeftMs} ms`)
  await api.redis.del('other data')
  await until(async () => (await announceStatus()) === 201)
})

test('a Redis that is over its limit is trimmed, although it refuses the lease', async () => {
  await fillWithHistory(2_500, 2 * hourMs)
  await limitRedisMemory(api.redis, 1.1)
  const { log, trimmed } = watchTrimming()
  const trimming = [1, 2].map(() => createTrimming({ redis: api.redis, prefix: api.prefix, log }))
  for (const { start } of trimming) start()
  await trimmed
  await until(async () => (await announceStatus()) === 201)
  for (const { stop } of trimming) await stop()
})

test.run()
