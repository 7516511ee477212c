import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  AbortMultipartUploadCommand,
  ListMultipartUploadsCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
  S3Client,
} from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Receipt } from '@millrace/api/uploads/erase-routes.ts'
import { SentParts, SignedParts } from '@millrace/api/uploads/part-routes.ts'
import { UploadPage } from '@millrace/api/uploads/upload-routes.ts'
import { UploadView } from '@millrace/api/uploads/upload-view.ts'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { connectStreamingS3 } from '@millrace/shared/connections/connections.ts'
import { announcementKey, originalKey } from '@millrace/shared/ledger/object-keys.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import Type from 'typebox'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { type S3Proxy, startS3Proxy } from '../../support/s3-proxy.ts'
import { announce, multipartOf, readUpload, sendPart } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'

const test = suite('announcements in S3')
const MiB = 1024 ** 2
const size = 8 * MiB + 1
const UppyOpened = Type.Object({ uploadId: Type.String(), key: Type.String() })
const UppySigned = Type.Object({ url: Type.String() })
const UppyParts = Type.Array(Type.Object({ PartNumber: Type.Integer(), ETag: Type.String() }))

let directory: string
let redisServer: RedisServer
let proxy: S3Proxy
let api: ApiInstances
let closeClients: () => void

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-announcements-'))
  // A separate server, because the tests delete all its data.
  redisServer = await startRedisServer({ directory })
  api = await startApiInstances({
    redisUrl: redisServer.url,
    async connectS3(access) {
      proxy = await startS3Proxy(access.endpoint)
      const s3 = new S3Client({ ...access, endpoint: proxy.endpoint, maxAttempts: 1 })
      const streamingS3 = connectStreamingS3({ ...access, endpoint: proxy.endpoint })
      const publicS3 = new S3Client(access)
      closeClients = () => [s3, streamingS3, publicS3].map((client) => client.destroy())
      return { s3, streamingS3, publicS3 }
    },
  })
})
test.before.each(() => proxy.intercept(() => 'pass'))
test.after(async () => {
  await api.close()
  closeClients()
  await proxy.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

/** Announces a file of two parts, and sends the first one. */
async function announceParts() {
  const client = createHttpClient(api.url)
  const announced = await announce(client, size, { filename: 'film.mp4', metadata: { album: 'summer' } })
  const [first] = multipartOf(announced).parts
  const etag = await sendPart(first?.url ?? '', new Uint8Array(8 * MiB))
  const [key = ''] = await api.redis.keys(`${api.prefix}:*:upload:${announced.id}`)
  const address = { owner: /\{(.+)\}/.exec(key)?.[1] ?? '', id: announced.id }
  return { client, address, path: `/uploads/${announced.id}`, etag }
}

/** Returns all versions of the announcement, as S3 has them. */
async function announcementVersions(address: UploadAddress) {
  const { Versions = [], DeleteMarkers = [] } = await api.s3.send(
    new ListObjectVersionsCommand({ Bucket: api.bucket, Prefix: announcementKey(address) }),
  )
  return {
    current: Versions.filter(({ IsLatest }) => IsLatest).length,
    all: [...Versions, ...DeleteMarkers].length,
  }
}

async function openMultiparts(address: UploadAddress) {
  const { Uploads = [] } = await api.s3.send(
    new ListMultipartUploadsCommand({ Bucket: api.bucket, Prefix: originalKey(address) }),
  )
  return Uploads
}

async function assertMissing(client: HttpClient, path: string): Promise<void> {
  const response = await client.get(path)
  assert.equal([response.status, bodyOf(response, Problem).code], [404, 'upload_not_found'])
}

test('an announced multipart upload is resumed and completed after Redis lost all data', async () => {
  const { client, address, path, etag } = await announceParts()
  const before = await readUpload(client, address.id)
  await api.redis.flushall()
  assert.equal(bodyOf(await client.get('/uploads'), UploadPage).uploads, [before])
  await api.redis.flushall()
  assert.equal(await readUpload(client, address.id), before)

  await api.redis.flushall()
  const sent = bodyOf(await client.get(`${path}/parts`), SentParts)
  assert.equal([sent.partSize, sent.partCount], [8 * MiB, 2])
  assert.equal(sent.parts, [{ partNumber: 1, etag: etag.replaceAll('"', ''), size: 8 * MiB }])

  await api.redis.flushall()
  const signed = bodyOf(await client.post(`${path}/parts`, { partNumbers: [2] }), SignedParts)
  const second = await sendPart(signed.parts[0]?.url ?? '', new Uint8Array(1))

  await api.redis.flushall()
  const parts = [etag, second].map((each, index) => ({ partNumber: index + 1, etag: each }))
  const completed = await client.post(`${path}/complete`, { parts })
  assert.is(completed.status, 202)
  const upload = bodyOf(completed, UploadView)
  assert.equal(
    [upload.state, upload.filename, upload.size, upload.metadata],
    ['received', 'film.mp4', size, { album: 'summer' }],
  )
  assert.is((await announcementVersions(address)).current, 0)
  await api.redis.flushall()
  assert.is((await readUpload(client, address.id)).state, 'received')
})

test("Uppy's multipart upload is resumed and completed after Redis lost all data", async () => {
  const client = createHttpClient(api.url)
  const body = { filename: 'film.mp4', type: 'video/mp4', metadata: { name: 'film.mp4', size: 5 * MiB + 1 } }
  const { uploadId, key } = bodyOf(await client.post('/uppy/s3/multipart', body), UppyOpened)
  const path = `/uppy/s3/multipart/${uploadId}`
  for (const [index, partSize] of [5 * MiB, 1].entries()) {
    await api.redis.flushall()
    const { url } = bodyOf(await client.get(`${path}/${index + 1}`), UppySigned)
    await sendPart(url, new Uint8Array(partSize))
  }
  await api.redis.flushall()
  const parts = bodyOf(await client.get(path), UppyParts)
  await api.redis.flushall()
  const completed = await client.post(`${path}/complete`, {
    parts: parts.map(({ PartNumber, ETag }) => ({ PartNumber, ETag })),
  })
  assert.equal(completed.body, { location: `http://localhost:3000/uploads/${uploadId}`, key })
  assert.is((await readUpload(client, uploadId)).state, 'received')
})

test('an announcement belongs to its owner alone, and forms have none', async () => {
  const { address } = await announceParts()
  const stranger = createHttpClient(api.url)
  const form = await announce(stranger, 7)
  await api.redis.flushall()
  await assertMissing(stranger, `/uploads/${address.id}`)
  await assertMissing(stranger, `/uploads/${form.id}`)
})

test('an upload that is erased after Redis lost all data leaves no announcement and does not come back', async () => {
  const { client, address, path } = await announceParts()
  await api.redis.flushall()
  const { erased } = bodyOf(await client.delete(path), Receipt)
  assert.equal(erased, [{ key: announcementKey(address), versions: 1 }])
  assert.equal(await announcementVersions(address), { current: 0, all: 0 })
  assert.equal(await openMultiparts(address), [])
  await api.redis.flushall()
  await assertMissing(client, path)
  assert.equal(bodyOf(await client.get('/uploads'), UploadPage).uploads, [])
})

test('an announcement whose multipart upload was aborted finds nothing', async () => {
  const { client, address, path } = await announceParts()
  const [multipart] = await openMultiparts(address)
  const Key = originalKey(address)
  await api.s3.send(
    new AbortMultipartUploadCommand({ Bucket: api.bucket, Key, UploadId: multipart?.UploadId ?? '' }),
  )
  await api.redis.flushall()
  await assertMissing(client, path)
})

test('an upload that is completed while its announcement is read is received', async () => {
  const { client, address, path, etag } = await announceParts()
  const signed = bodyOf(await client.post(`${path}/parts`, { partNumbers: [2] }), SignedParts)
  const second = await sendPart(signed.parts[0]?.url ?? '', new Uint8Array(1))
  const { record = '', revision = '' } = await api.redis.hgetall(
    `${api.prefix}:{${address.owner}}:upload:${address.id}`,
  )
  await api.redis.flushall()
  const held = proxy.hold(({ method, path }) => method === 'GET' && path.includes('/unfinished/'))
  const reading = client.get(path)
  await held.arrived
  await api.redis.hset(`${api.prefix}:{${address.owner}}:upload:${address.id}`, { record, revision })
  const parts = [etag, second].map((each, index) => ({ partNumber: index + 1, etag: each }))
  const removal = proxy.hold(({ method, path }) => method === 'DELETE' && path.includes('/unfinished/'))
  const completing = client.post(`${path}/complete`, { parts })
  await removal.arrived
  await api.redis.flushall()
  held.release()
  assert.is(bodyOf(await reading, UploadView).state, 'received')
  removal.release()
  assert.is((await completing).status, 202)
})

test('an upload is completed although its announcement cannot be deleted', async () => {
  const { client, address, path, etag } = await announceParts()
  const signed = bodyOf(await client.post(`${path}/parts`, { partNumbers: [2] }), SignedParts)
  const second = await sendPart(signed.parts[0]?.url ?? '', new Uint8Array(1))
  proxy.intercept(({ method }) => (method === 'DELETE' ? 'deny' : 'pass'))
  const parts = [etag, second].map((each, index) => ({ partNumber: index + 1, etag: each }))
  assert.is((await client.post(`${path}/complete`, { parts })).status, 202)
  assert.is((await announcementVersions(address)).current, 1)
})

test('an announcement of a newer version is answered 503', async () => {
  const { client, address, path } = await announceParts()
  const Key = announcementKey(address)
  await api.s3.send(new PutObjectCommand({ Bucket: api.bucket, Key, Body: '{"version":2}' }))
  await api.redis.flushall()
  const response = await client.get(path)
  assert.equal([response.status, bodyOf(response, Problem).code], [503, 'unreadable_record'])
  assert.is((await client.delete(path)).status, 200)
})

test.run()
