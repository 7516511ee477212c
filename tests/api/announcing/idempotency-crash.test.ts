import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ListMultipartUploadsCommand, ListObjectVersionsCommand, PutObjectCommand } from '@aws-sdk/client-s3'
import { newApiKey } from '@millrace/api/credentials/api-keys.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Announced, UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { createClient } from '@millrace/client'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { Static } from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { type ApiProcess, startApiProcess } from '../../support/api-process.ts'
import { bodyOf, createHttpClient, type HttpResponse } from '../../support/http-client.ts'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'
import { startWorkerBeside } from '../../support/worker-beside-api.ts'

const MiB = 1024 ** 2

/** A tenant of one test, which sends one request, with one key, as often as the test wants. Nothing else is its own. */
function newTenant(name: string) {
  const { key: apiKey, entry } = newApiKey(name, ['uploads:read', 'uploads:write'])
  const headers = { authorization: `Bearer ${apiKey}`, 'idempotency-key': randomUUID() }
  const fileHeaders = { ...headers, 'content-type': 'text/plain' }
  const locks = () => api.redis.keys(`${api.prefix}:{${name}}:idempotency-lock:*`)
  return {
    name,
    apiKey,
    entry,
    fileHeaders,
    send: (base = api.url, body = 'the file') =>
      createHttpClient(base).request('POST', '/upload?filename=a.txt', { body, headers: fileHeaders }),
    announce: (base = api.url) =>
      createHttpClient(base).post(
        '/uploads',
        { filename: 'a.bin', contentType: 'application/octet-stream', size: 20 * MiB },
        { headers },
      ),
    /** Sends a file of unknown size. */
    sendChunked: (base = api.url) =>
      fetch(`${base}/upload?filename=a.bin`, {
        method: 'POST',
        body: ReadableStream.from(chunks),
        duplex: 'half',
        headers: { ...headers, 'content-type': 'application/octet-stream' },
      }).then(async (response) => ({
        status: response.status,
        headers: response.headers,
        body: await response.json(),
      })),
    find: async (id: string) =>
      bodyOf(await createHttpClient(api.url).get(`/uploads/${id}`, { headers }), UploadView),
    ids: async () => {
      const page = await createHttpClient(api.url).get('/uploads', { headers })
      return bodyOf(page, UploadPage).uploads.map(({ id }) => id)
    },
    /** Returns the versions in S3, as keys. */
    async versions(kind: 'originals' | 'manifests'): Promise<string[]> {
      const prefix = { Bucket: api.bucket, Prefix: `${kind}/${name}/` }
      const { Versions = [] } = await api.s3.send(new ListObjectVersionsCommand(prefix))
      return Versions.map(({ Key = '' }) => Key)
    },
    async openMultipartUploads() {
      const prefix = { Bucket: api.bucket, Prefix: `originals/${name}/` }
      const { Uploads = [] } = await api.s3.send(new ListMultipartUploadsCommand(prefix))
      return Uploads
    },
    /** Returns the keys of what Redis has. */
    records: () => api.redis.keys(`${api.prefix}:{${name}}:upload:*`),
    isReserved: async (id: string) =>
      (await api.redis.hexists(`${api.prefix}:{${name}}:quota:held`, id)) === 1,
    locks,
    /** Ends the lease of the dead or suspended instance, which would end by itself some seconds later. */
    async endLease(): Promise<void> {
      const found = await locks()
      if (found.length > 0) await api.redis.del(found)
    },
  }
}

type Tenant = ReturnType<typeof newTenant>

/** Two parts of 8 MiB or less: the size of parts of a file whose size is not known. */
const chunks = Array.from({ length: 9 }, () => new Uint8Array(MiB))
const chunkedSize = 9 * MiB
const tenants = {
  waiting: newTenant('waiting'),
  unread: newTenant('unread'),
  refused: newTenant('refused'),
  reused: newTenant('reused'),
  kept: newTenant('kept'),
  parts: newTenant('parts'),
  flushed: newTenant('flushed'),
  announced: newTenant('announced'),
  aborted: newTenant('aborted'),
  twice: newTenant('twice'),
  late: newTenant('late'),
  failing: newTenant('failing'),
}

let proxy: S3Proxy
let api: ApiInstances
/** The instance that is killed or suspended. It reaches S3 through the proxy. */
let dying: ApiProcess | undefined

async function start(redisUrl?: string): Promise<void> {
  const keys = Object.values(tenants).map(({ entry }) => entry)
  api = await startApiInstances({
    ...(redisUrl !== undefined && { redisUrl }),
    environment: { API_KEYS: keys.join(','), QUOTA_FILES_TOTAL: '1000' },
  })
  proxy = await startS3Proxy(api.environment['AWS_ENDPOINT_URL_S3'] ?? '')
}

async function stop(): Promise<void> {
  dying?.kill()
  dying = undefined
  await api.close()
  await proxy.close()
}

/** Returns the instance that may die. Starting it costs more than most of the tests. */
async function startDying(): Promise<ApiProcess> {
  if (!dying || dying.hasEnded()) {
    dying = await startApiProcess({
      ...api.environment,
      AWS_ENDPOINT_URL_S3: proxy.endpoint,
      LOG_LEVEL: 'info',
    })
  }
  return dying
}

const putsOriginal = ({ method, path }: SeenRequest) => method === 'PUT' && path.includes('/originals/')
const opensMultipart = ({ method, path }: SeenRequest) => method === 'POST' && path.includes('?uploads')
const sendsPart = ({ method, path }: SeenRequest) => method === 'PUT' && path.includes('partNumber=2')

/** Sends a request to the dying instance, which never gets S3's response to the matching request. S3 has executed it. */
async function interrupt(matches: (seen: SeenRequest) => boolean, send: () => Promise<unknown>) {
  const response = proxy.holdResponse(matches)
  const lost = expectLoss(send())
  await response.arrived
  return { lost, release: response.release }
}

/** The same, but S3 has not seen the matching request. */
async function interruptBefore(matches: (seen: SeenRequest) => boolean, send: () => Promise<unknown>) {
  const request = proxy.hold(matches)
  const lost = expectLoss(send())
  await request.arrived
  return { lost, release: () => request.release('refuse') }
}

const expectLoss = (sent: Promise<unknown>) =>
  sent.then(
    () => assert.unreachable('the killed instance responded'),
    () => undefined,
  )

/** Kills the instance. @param requests to it */
async function kill(instance: ApiProcess, requests: { lost: Promise<void>; release(): void }[]) {
  instance.kill()
  for (const { lost } of requests) await lost
  for (const { release } of requests) release()
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

const test = suite('Idempotency-Key of an instance that died', {}, { limitMs: 60_000 })
test.before(() => start())
test.after(stop)

test('a suspended instance that opens another multipart upload aborts it and returns the recorded one', async () => {
  const tenant = tenants.aborted
  const instance = await startDying()
  const opening = proxy.hold(opensMultipart)
  const first = tenant.announce(instance.url)
  await opening.arrived
  instance.suspend()
  await tenant.endLease()
  const taken = bodyOf(await tenant.announce(), Announced)
  instance.resume()
  opening.release()
  const late = bodyOf(await first, Announced)
  assert.is(late.id, taken.id)
  assert.is(s3IdOf(late), s3IdOf(taken))
  assert.is((await tenant.openMultipartUploads()).length, 1)
  // Its URLs are signed anew.
  const again = bodyOf(await tenant.announce(), Announced)
  assert.equal([again.id, s3IdOf(again)], [taken.id, s3IdOf(taken)])
})

test('a suspended instance cannot complete parts after another one has sent the file', async () => {
  const tenant = tenants.twice
  const instance = await startDying()
  const part = proxy.hold(sendsPart)
  const first = tenant.sendChunked(instance.url)
  await part.arrived
  instance.suspend()
  await tenant.endLease()
  const retried = bodyOf(await tenant.sendChunked(), UploadView)
  instance.resume()
  part.release()
  const late = await first
  assert.ok(late.status >= 500, `${late.status} ${JSON.stringify(late.body)}`)
  assert.is((await tenant.find(retried.id)).state, 'received')
  assert.equal(bodyOf(await tenant.sendChunked(), UploadView), retried)
  assert.equal(await tenant.versions('originals'), [`originals/twice/${retried.id}`])
})

test('an instance that was suspended does not undo the upload of the one that took over', async () => {
  const tenant = tenants.late
  const instance = await startDying()
  const held = proxy.holdResponse(putsOriginal)
  const aborted = new AbortController()
  const lost = fetch(`${instance.url}/upload?filename=a.txt`, {
    method: 'POST',
    body: 'the file',
    headers: tenant.fileHeaders,
    signal: aborted.signal,
  }).catch(() => undefined)
  await held.arrived
  instance.suspend()
  aborted.abort()
  await lost
  await tenant.endLease()
  const { id } = bodyOf(await tenant.send(), UploadView)
  assert.ok(await tenant.isReserved(id))
  const sentBefore = countSent(instance)
  instance.resume()
  await until(async () => countSent(instance) > sentBefore)
  held.release()
  assert.is(await instance.stop(), 0)
  assert.ok(await tenant.isReserved(id))
  assert.is(await api.redis.exists(`${api.prefix}:{late}:upload:${id}`), 1)
  assert.is(bodyOf(await tenant.send(), UploadView).id, id)
})

const countSent = ({ lines }: ApiProcess) =>
  lines.filter((line) => line.includes('"operation":"sendFile"')).length

let killing: Promise<void> | undefined
/** Kills one instance that has the requests of the following tests, each of a tenant of its own. */
const killedInstance = () => (killing ??= killWithRequests())

async function killWithRequests(): Promise<void> {
  const instance = await startDying()
  const { url } = instance
  const { waiting } = tenants
  await kill(instance, [
    await interrupt(putsOriginal, () => tenants.unread.send(url, 'a'.repeat(MiB))),
    await interrupt(putsOriginal, () => tenants.reused.send(url)),
    await interruptBefore(putsOriginal, () => tenants.refused.send(url)),
    await interrupt(opensMultipart, () => tenants.kept.announce(url)),
    await interrupt(sendsPart, () => tenants.parts.sendChunked(url)),
    await interrupt(putsOriginal, () => waiting.send(url)),
  ])
  // At once, before the lease has ended. The other tests run meanwhile.
  waitingForLease = waiting
    .ids()
    .then(async ([id = '']) => ({ id, retried: await retry(() => waiting.send()) }))
  // Its test reports what fails.
  waitingForLease.catch(() => undefined)
}

let waitingForLease: Promise<{ id: string; retried: HttpResponse }> | undefined

test('a retry does not read the body of a file that S3 has', async () => {
  const tenant = tenants.unread
  await killedInstance()
  await tenant.endLease()
  // Only the headers are sent.
  const request = httpRequest(`${api.url}/upload?filename=a.txt`, {
    method: 'POST',
    headers: { ...tenant.fileHeaders, 'content-length': MiB },
  })
  request.flushHeaders()
  const status = await new Promise((resolve, reject) => {
    request.on('response', (response) => resolve(response.statusCode)).on('error', reject)
  })
  assert.is(status, 201)
  request.destroy()
})

test('a file whose instance was killed before S3 had it is stored under the same id', async () => {
  const tenant = tenants.refused
  await killedInstance()
  const [id] = await tenant.ids()
  assert.equal(await tenant.versions('originals'), [])
  await tenant.endLease()
  const retried = bodyOf(await tenant.send(), UploadView)
  assert.equal([retried.id, retried.state], [id, 'received'])
  assert.is((await tenant.find(retried.id)).state, 'received')
})

test('a different request with the key of an upload that S3 has is refused, and the right one is not', async () => {
  const tenant = tenants.reused
  await killedInstance()
  await tenant.endLease()
  const other = await tenant.send(api.url, 'another file')
  assert.is(other.status, 422, JSON.stringify(other.body))
  assert.is(bodyOf(other, Problem).code, 'idempotency_key_reused')
  assert.is((await tenant.send()).status, 201)
})

/** Announces again, and checks that S3 has the multipart upload of the first request and no other. */
async function announceAgain(tenant: Tenant): Promise<void> {
  const [opened, ...others] = await tenant.openMultipartUploads()
  assert.ok(opened)
  assert.equal(others, [])
  const announced = bodyOf(await tenant.announce(), Announced)
  assert.is((await tenant.openMultipartUploads()).length, 1)
  assert.is(
    opened.Key,
    originalKey({ owner: tenant.name, id: announced.id }),
    'the id is that of the first request',
  )
  assert.is(s3IdOf(announced), opened.UploadId)
  assert.is((await tenant.find(announced.id)).state, 'awaiting')
}

test('announcing again after a kill continues the multipart upload that S3 has', async () => {
  await killedInstance()
  await tenants.kept.endLease()
  await announceAgain(tenants.kept)
})

test('the parts of an instance that was killed are deleted when the file is sent again', async () => {
  const tenant = tenants.parts
  await killedInstance()
  assert.is((await tenant.openMultipartUploads()).length, 1)
  const [id] = await tenant.ids()
  await tenant.endLease()
  const retried = bodyOf(await tenant.sendChunked(), UploadView)
  assert.equal([retried.id, retried.state, retried.size], [id, 'received', chunkedSize])
  assert.equal(await tenant.openMultipartUploads(), [])
})

test('a repeated request that fails does not undo an upload whose bytes arrived meanwhile', async () => {
  const tenant = tenants.failing
  const isLocked = async () => (await tenant.locks()).length > 0
  /** Begins a request that does not send all of its bytes. */
  const begin = async () => {
    const put = httpRequest(`${api.url}/upload?filename=a.txt`, {
      method: 'POST',
      headers: { ...tenant.fileHeaders, 'content-length': 8 },
    })
    put.on('error', () => undefined)
    put.write('the ')
    await until(async () => (await tenant.records()).length === 1)
    return put
  }
  const failed = await begin()
  failed.destroy()
  await until(async () => !(await isLocked()))
  assert.equal(await tenant.records(), [])
  const put = await begin()
  const id = (await tenant.records())[0]?.split(':').at(-1) ?? ''
  // The write of an instance that was suspended.
  await api.s3.send(
    new PutObjectCommand({
      Bucket: api.bucket,
      Key: originalKey({ owner: 'failing', id }),
      Body: 'the file',
    }),
  )
  put.destroy()
  await until(async () => !(await isLocked()))
  assert.is((await tenant.records()).length, 1)
  assert.ok(await tenant.isReserved(id))
  assert.is(bodyOf(await tenant.send(), UploadView).id, id)
})

// The last one of this suite, because its worker also finishes the files of the others.
test('a retry after the instance was killed waits for the lease and returns the upload that S3 has', async () => {
  const tenant = tenants.waiting
  await killedInstance()
  assert.ok(waitingForLease)
  const { id, retried } = await waitingForLease
  assert.is(retried.status, 201, JSON.stringify(retried.body))
  assert.is(bodyOf(retried, UploadView).id, id)
  assert.is(retried.headers.get('location'), `/uploads/${id}`)
  assert.equal(bodyOf(await tenant.send(), UploadView), bodyOf(retried, UploadView))
  const worker = await startWorkerBeside(api)
  await createClient({ origin: api.url, apiKey: tenant.apiKey }).waitUntilFinished(id)
  await worker.close()
  assert.equal(await tenant.ids(), [id])
  assert.equal(await tenant.versions('originals'), [`originals/waiting/${id}`])
  assert.equal(await tenant.versions('manifests'), [`manifests/waiting/${id}.json`])
})

test.run()

const flushed = suite(
  'Idempotency-Key of a dead instance in a Redis that lost its data',
  {},
  { limitMs: 60_000 },
)
let directory: string
let redisServer: RedisServer
/** The upload of the tenant `flushed`. */
let idBefore: string | undefined

flushed.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-idempotency-'))
  redisServer = await startRedisServer({ directory })
  await start(redisServer.url)
  const instance = await startDying()
  await kill(instance, [
    await interrupt(putsOriginal, () => tenants.flushed.send(instance.url)),
    await interrupt(opensMultipart, () => tenants.announced.announce(instance.url)),
  ])
  const ids = await tenants.flushed.ids()
  idBefore = ids[0]
  await api.redis.flushall()
})
flushed.after(async () => {
  await stop()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

flushed('after Redis was flushed as well, a retry finds the id in S3', async () => {
  const tenant = tenants.flushed
  const retried = await tenant.send()
  assert.is(retried.status, 201, JSON.stringify(retried.body))
  const { id } = bodyOf(retried, UploadView)
  assert.is(id, idBefore)
  assert.equal(await tenant.versions('originals'), [`originals/flushed/${id}`])
})

flushed('after Redis was flushed as well, announcing again continues the multipart upload that S3 has', () =>
  announceAgain(tenants.announced),
)

flushed.run()
