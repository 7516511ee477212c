import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ListMultipartUploadsCommand, ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/http/problem.ts'
import { Announced, UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { createClient } from '@millrace/client'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import { connectBlockingRedis } from '@millrace/shared/service/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { createApp } from '@millrace/worker/app.ts'
import { readConfig } from '@millrace/worker/config.ts'
import type { Static } from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { type ApiProcess, startApiProcess } from '../../support/api-process.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('Idempotency-Key of an instance that died', {}, { limitMs: 60_000 })
const MiB = 1024 ** 2
const { key: apiKey, entry } = newApiKey('shop', ['uploads:read', 'uploads:write'])
const authorization = `Bearer ${apiKey}`

let directory: string
let redisServer: RedisServer
let proxy: S3Proxy
let api: ApiInstances
/** The instance that dies. It reaches S3 through the proxy. */
let dying: ApiProcess

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-idempotency-'))
  // A separate server, because tests flush it.
  redisServer = await startRedisServer({ directory })
  api = await startApiInstances({
    redisUrl: redisServer.url,
    environment: { API_KEYS: entry, QUOTA_FILES_TOTAL: '1000' },
  })
  proxy = await startS3Proxy(api.environment['AWS_ENDPOINT_URL_S3'] ?? '')
  dying = await startDying()
})
test.before.each(async () => {
  await api.redis.flushall()
  // Starting an instance costs more than most of the tests.
  if (dying.hasEnded()) dying = await startDying()
})
test.after(async () => {
  dying.kill()
  await api.close()
  await proxy.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

const startDying = () =>
  startApiProcess({
    ...api.environment,
    REDIS_URL: redisServer.url,
    AWS_ENDPOINT_URL_S3: proxy.endpoint,
    LOG_LEVEL: 'info',
  })

const client = {
  send: (key: string, body = 'the file', base = api.url) =>
    createHttpClient(base).request('POST', '/upload?filename=a.txt', {
      body,
      headers: { authorization, 'idempotency-key': key, 'content-type': 'text/plain' },
    }),
  announce: (key: string, size: number, base = api.url) =>
    createHttpClient(base).post(
      '/uploads',
      { filename: 'a.bin', contentType: 'application/octet-stream', size },
      { headers: { authorization, 'idempotency-key': key } },
    ),
  find: async (id: string) =>
    bodyOf(await createHttpClient(api.url).get(`/uploads/${id}`, { headers: { authorization } }), UploadView),
  ids: async () => {
    const page = await createHttpClient(api.url).get('/uploads', { headers: { authorization } })
    return bodyOf(page, UploadPage).uploads.map(({ id }) => id)
  },
}

const putsOriginal = ({ method, path }: SeenRequest) => method === 'PUT' && path.includes('/originals/')
const opensMultipart = ({ method, path }: SeenRequest) => method === 'POST' && path.includes('?uploads')

/** Sends a request to the dying instance, and kills it when S3 has executed the matching request. */
async function killAfter(matches: (seen: SeenRequest) => boolean, send: () => Promise<unknown>) {
  const response = proxy.holdResponse(matches)
  const lost = send().then(
    () => assert.unreachable('the killed instance responded'),
    () => undefined,
  )
  await response.arrived
  dying.kill()
  await lost
  response.release()
}

/** Ends the lease of the dead instance, which would end by itself some seconds later. */
async function endLease(): Promise<void> {
  const locks = await api.redis.keys(`${api.prefix}:*:idempotency-lock:*`)
  if (locks.length > 0) await api.redis.del(locks)
}

/** Sends a request until its key is free, as often as the responses allow. */
async function retry(send: () => Promise<HttpResponse>): Promise<HttpResponse> {
  for (;;) {
    const response = await send()
    if (response.status !== 409) return response
    assert.is(bodyOf(response, Problem).code, 'idempotency_key_in_use')
    const seconds = Number(response.headers.get('retry-after'))
    assert.ok(seconds >= 1 && seconds <= 5, `Retry-After: ${response.headers.get('retry-after')}`)
    await delay(seconds * 1000)
  }
}

/** Returns S3's id of an announced multipart upload. */
function s3IdOf({ transport }: Static<typeof Announced>): string | null {
  const url = transport.kind === 'multipart' ? transport.parts[0]?.url : undefined
  return new URL(url ?? '').searchParams.get('uploadId')
}

/** Returns the versions in S3 under a prefix, as keys. */
async function versionsUnder(prefix: string): Promise<string[]> {
  const { Versions = [] } = await api.s3.send(
    new ListObjectVersionsCommand({ Bucket: api.bucket, Prefix: prefix }),
  )
  return Versions.map(({ Key = '' }) => Key)
}

async function openMultipartUploads() {
  const { Uploads = [] } = await api.s3.send(new ListMultipartUploadsCommand({ Bucket: api.bucket }))
  return Uploads
}

/** Starts a worker in this process, with the Redis, S3 and SQS of the instances. */
async function startWorker() {
  const config = readConfig({ ...api.environment, REDIS_URL: redisServer.url })
  const log = createLog({ level: 'silent', instance: 'worker' })
  const blockingRedis = connectBlockingRedis(config.redisUrl, log)
  const worker = createApp(config, log, {
    redis: api.redis,
    blockingRedis,
    s3: api.s3,
    streamingS3: api.s3,
    sqs: api.sqs,
  })
  await worker.start()
  return {
    async close() {
      await worker.close()
      blockingRedis.disconnect()
    },
  }
}

test('a retry after the instance was killed waits for the lease and returns the upload that S3 has', async () => {
  const key = randomUUID()
  await killAfter(putsOriginal, () => client.send(key, 'the file', dying.url))
  const [id] = await client.ids()
  const retried = await retry(() => client.send(key))
  assert.is(retried.status, 201, JSON.stringify(retried.body))
  assert.is(bodyOf(retried, UploadView).id, id)
  assert.is(retried.headers.get('location'), `/uploads/${id}`)
  assert.equal(bodyOf(await client.send(key), UploadView), bodyOf(retried, UploadView))
  const worker = await startWorker()
  await createClient({ origin: api.url, apiKey }).waitUntilFinished(id ?? '')
  await worker.close()
  assert.equal(await client.ids(), [id])
  assert.equal(await versionsUnder('originals/shop/'), [`originals/shop/${id}`])
  assert.equal(await versionsUnder('manifests/shop/'), [`manifests/shop/${id}.json`])
})

test('after Redis was flushed as well, a retry finds the id in S3', async () => {
  const key = randomUUID()
  await killAfter(putsOriginal, () => client.send(key, 'the file', dying.url))
  const [id] = await client.ids()
  await api.redis.flushall()
  const retried = await client.send(key)
  assert.is(retried.status, 201, JSON.stringify(retried.body))
  assert.is(bodyOf(retried, UploadView).id, id)
  const originals = await versionsUnder('originals/shop/')
  assert.is(originals.filter((original) => original.endsWith(`/${id}`)).length, 1)
})

test('a retry does not read the body of a file that S3 has', async () => {
  const key = randomUUID()
  const size = MiB
  await killAfter(putsOriginal, () => client.send(key, 'a'.repeat(size), dying.url))
  await endLease()
  // Only the headers are sent.
  const request = httpRequest(`${api.url}/upload?filename=a.txt`, {
    method: 'POST',
    headers: {
      authorization,
      'idempotency-key': key,
      'content-type': 'text/plain',
      'content-length': size,
    },
  })
  request.flushHeaders()
  const status = await new Promise((resolve, reject) => {
    request.on('response', (response) => resolve(response.statusCode)).on('error', reject)
  })
  assert.is(status, 201)
  request.destroy()
})

test('a file whose instance was killed before S3 had it is stored under the same id', async () => {
  const key = randomUUID()
  const put = proxy.hold(putsOriginal)
  const lost = client.send(key, 'the file', dying.url).catch(() => undefined)
  await put.arrived
  dying.kill()
  await lost
  put.release('refuse')
  const [id] = await client.ids()
  await endLease()
  const retried = bodyOf(await client.send(key), UploadView)
  assert.equal([retried.id, retried.state], [id, 'received'])
  assert.is((await client.find(retried.id)).state, 'received')
})

test('a different request with the key of an upload that S3 has is refused, and the right one is not', async () => {
  const key = randomUUID()
  await killAfter(putsOriginal, () => client.send(key, 'the file', dying.url))
  await endLease()
  const other = await client.send(key, 'another file')
  assert.is(other.status, 422, JSON.stringify(other.body))
  assert.is(bodyOf(other, Problem).code, 'idempotency_key_reused')
  assert.is((await client.send(key)).status, 201)
})

test('an instance that was suspended does not undo the upload of the one that took over', async () => {
  const key = randomUUID()
  const held = proxy.holdResponse(putsOriginal)
  const aborted = new AbortController()
  const lost = fetch(`${dying.url}/upload?filename=a.txt`, {
    method: 'POST',
    body: 'the file',
    headers: { authorization, 'idempotency-key': key, 'content-type': 'text/plain' },
    signal: aborted.signal,
  }).catch(() => undefined)
  await held.arrived
  dying.suspend()
  aborted.abort()
  await lost
  await endLease()
  const { id } = bodyOf(await client.send(key), UploadView)
  const isReserved = async () => (await api.redis.hexists(`${api.prefix}:{shop}:quota:held`, id)) === 1
  assert.ok(await isReserved())
  dying.resume()
  await dying.until('"operation":"sendFile"')
  held.release()
  assert.is(await dying.stop(), 0)
  assert.ok(await isReserved())
  assert.is(await api.redis.exists(`${api.prefix}:{shop}:upload:${id}`), 1)
  assert.is(bodyOf(await client.send(key), UploadView).id, id)
})

for (const redisState of ['kept', 'flushed'] as const) {
  test(`announcing again after a kill continues the multipart upload that S3 has (Redis ${redisState})`, async () => {
    const key = randomUUID()
    const before = (await openMultipartUploads()).length
    await killAfter(opensMultipart, () => client.announce(key, 20 * MiB, dying.url))
    const opened = (await openMultipartUploads()).filter(({ Key }) => Key?.startsWith('originals/shop/'))
    if (redisState === 'kept') await endLease()
    else await api.redis.flushall()
    const announced = bodyOf(await client.announce(key, 20 * MiB), Announced)
    assert.is((await openMultipartUploads()).length, before + 1)
    const own = opened.find(({ Key }) => Key === `originals/shop/${announced.id}`)
    assert.ok(own, 'the id differs from that of the first request')
    assert.is(s3IdOf(announced), own?.UploadId)
    assert.is((await client.find(announced.id)).state, 'awaiting')
  })
}

test('a suspended instance that opens another multipart upload aborts it and returns the recorded one', async () => {
  const key = randomUUID()
  const opening = proxy.hold(opensMultipart)
  const first = client.announce(key, 20 * MiB, dying.url)
  await opening.arrived
  dying.suspend()
  await endLease()
  const before = (await openMultipartUploads()).length
  const taken = bodyOf(await client.announce(key, 20 * MiB), Announced)
  dying.resume()
  opening.release()
  const late = bodyOf(await first, Announced)
  assert.is(late.id, taken.id)
  assert.is(s3IdOf(late), s3IdOf(taken))
  assert.is((await openMultipartUploads()).length, before + 1)
  // Its URLs are signed anew.
  const again = bodyOf(await client.announce(key, 20 * MiB), Announced)
  assert.equal([again.id, s3IdOf(again)], [taken.id, s3IdOf(taken)])
})

/** Sends a file of unknown size. */
function sendChunked(key: string, size: number, base: string): Promise<HttpResponse> {
  return fetch(`${base}/upload?filename=a.bin`, {
    method: 'POST',
    body: new Blob([new Uint8Array(size)]).stream(),
    duplex: 'half',
    headers: { authorization, 'idempotency-key': key, 'content-type': 'application/octet-stream' },
  }).then(async (response) => ({
    status: response.status,
    headers: response.headers,
    body: await response.json(),
  }))
}

/** Two parts of 8 MiB or less: the size of parts of a file whose size is not known. */
const chunkedSize = 9 * MiB
const sendsPart = ({ method, path }: SeenRequest) => method === 'PUT' && path.includes('partNumber=2')

test('the parts of an instance that was killed are deleted when the file is sent again', async () => {
  const key = randomUUID()
  const before = (await openMultipartUploads()).length
  await killAfter(sendsPart, () => sendChunked(key, chunkedSize, dying.url))
  assert.is((await openMultipartUploads()).length, before + 1)
  const [id] = await client.ids()
  await endLease()
  const retried = bodyOf(await sendChunked(key, chunkedSize, api.url), UploadView)
  assert.equal([retried.id, retried.state, retried.size], [id, 'received', chunkedSize])
  assert.is((await openMultipartUploads()).length, before)
})

test('a suspended instance cannot complete parts after another one has sent the file', async () => {
  const key = randomUUID()
  const part = proxy.hold(sendsPart)
  const first = sendChunked(key, chunkedSize, dying.url)
  await part.arrived
  dying.suspend()
  await endLease()
  const retried = bodyOf(await sendChunked(key, chunkedSize, api.url), UploadView)
  dying.resume()
  part.release()
  const late = await first
  assert.ok(late.status >= 500, `${late.status} ${JSON.stringify(late.body)}`)
  assert.is((await client.find(retried.id)).state, 'received')
  assert.equal(bodyOf(await sendChunked(key, chunkedSize, api.url), UploadView), retried)
  const originals = await versionsUnder('originals/shop/')
  assert.is(originals.filter((original) => original.endsWith(`/${retried.id}`)).length, 1)
})

test('a repeated request that fails does not undo an upload whose bytes arrived meanwhile', async () => {
  const key = randomUUID()
  const headers = { authorization, 'idempotency-key': key, 'content-type': 'text/plain' }
  const records = () => api.redis.keys(`${api.prefix}:{shop}:upload:*`)
  const isLocked = async () => (await api.redis.keys(`${api.prefix}:*:idempotency-lock:*`)).length > 0
  /** Begins a request that does not send all of its bytes. */
  const begin = async () => {
    const put = httpRequest(`${api.url}/upload?filename=a.txt`, {
      method: 'POST',
      headers: { ...headers, 'content-length': 8 },
    })
    put.on('error', () => undefined)
    put.write('the ')
    await until(async () => (await records()).length === 1)
    return put
  }
  const failed = await begin()
  failed.destroy()
  await until(async () => !(await isLocked()))
  assert.equal(await records(), [])
  const put = await begin()
  const id = (await records())[0]?.split(':').at(-1) ?? ''
  // The write of an instance that was suspended.
  await api.s3.send(
    new PutObjectCommand({ Bucket: api.bucket, Key: originalKey({ owner: 'shop', id }), Body: 'the file' }),
  )
  put.destroy()
  await until(async () => !(await isLocked()))
  assert.is((await records()).length, 1)
  assert.is(await api.redis.hexists(`${api.prefix}:{shop}:quota:held`, id), 1)
  assert.is(bodyOf(await client.send(key), UploadView).id, id)
})

test.run()
