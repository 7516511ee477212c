import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListMultipartUploadsCommand, ListObjectsV2Command, S3Client } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { connectStreamingS3 } from '@millrace/shared/connections/connections.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient } from '../../support/http-client.ts'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../support/s3-proxy.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { waysToSend } from '../../support/ways-to-send.ts'

const test = suite('admission')
const MiB = 1024 ** 2
const credentials = { accessKeyId: 'key', secretAccessKey: 'secret' }

let directory: string
let redisServer: RedisServer
let proxy: S3Proxy
let api: ApiInstances
let client: HttpClient
let owner: string
let canSign: boolean
let closeClients: () => void

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-admission-'))
  // A separate server, because the tests deny commands to all of its connections.
  redisServer = await startRedisServer({ directory })
  api = await startApiInstances({
    redisUrl: redisServer.url,
    environment: { QUOTA_BYTES_TOTAL: String(1000 * MiB) },
    async connectS3(access) {
      proxy = await startS3Proxy(access.endpoint)
      const s3 = new S3Client({ ...access, endpoint: proxy.endpoint, maxAttempts: 1 })
      const streamingS3 = connectStreamingS3({ ...access, endpoint: proxy.endpoint })
      const publicS3 = new S3Client({
        ...access,
        async credentials() {
          if (!canSign) throw new Error('The role has no credentials at the moment.')
          // They expire at once, so that the signer reads them each time.
          return { ...credentials, expiration: new Date() }
        },
      })
      closeClients = () => [s3, streamingS3, publicS3].map((s3Client) => s3Client.destroy())
      return { s3, streamingS3, publicS3 }
    },
  })
})
test.before.each(async () => {
  canSign = true
  proxy.intercept(() => 'pass')
  client = createHttpClient(api.url)
  await client.get('/session')
  const { id } = await announce(client, 7)
  const [key = ''] = await api.redis.keys(`${api.prefix}:*:upload:${id}`)
  owner = /\{(.+)\}/.exec(key)?.[1] ?? ''
  await client.delete(`/uploads/${id}`)
  // An erased upload counts for a while.
  await api.redis.del(ownerKey('unfinished'))
  assert.equal(await countRemaining(), nothing)
})
test.after(async () => {
  await api.close()
  closeClients()
  await proxy.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

const nothing = {
  records: 0,
  reservations: 0,
  reservedBytes: 0,
  unfinished: 0,
  multipartUploads: 0,
  announcements: 0,
}

/** Counts what Redis and S3 have of the client's uploads. */
async function countRemaining() {
  const { Uploads = [] } = await api.s3.send(
    new ListMultipartUploadsCommand({ Bucket: api.bucket, Prefix: `originals/${owner}/` }),
  )
  const { Contents = [] } = await api.s3.send(
    new ListObjectsV2Command({ Bucket: api.bucket, Prefix: `unfinished/${owner}/` }),
  )
  return {
    records: (await api.redis.keys(`${api.prefix}:{${owner}}:upload:*`)).length,
    reservations: await api.redis.hlen(ownerKey('quota:held')),
    reservedBytes: Number(await api.redis.hget(ownerKey('quota'), 'bytes')),
    unfinished: await api.redis.zcard(ownerKey('unfinished')),
    multipartUploads: Uploads.length,
    announcements: Contents.length,
  }
}

function ownerKey(name: string): string {
  return `${api.prefix}:{${owner}}:${name}`
}

/** Replaces a key by a string, so that commands for another type fail. */
async function breakKey(key: string): Promise<void> {
  await api.redis.del(key)
  await api.redis.set(key, 'broken')
}

const announced = { filename: 'a.bin', contentType: 'image/png' }
for (const [name, send] of waysToSend) {
  test(`${name} leaves nothing behind if writing its record fails half-way`, async () => {
    // The script writes the record before the index.
    await breakKey(ownerKey('uploads'))
    const { status } = await send(client)
    assert.ok(status >= 500, String(status))
    assert.equal(await countRemaining(), nothing)
  })
}

for (const [name, send] of waysToSend.filter(([name]) => /announced|Uppy's form/.test(name))) {
  test(`${name} leaves nothing behind if signing fails`, async () => {
    canSign = false
    const { status } = await send(client)
    assert.ok(status >= 500, String(status))
    assert.equal(await countRemaining(), nothing)
  })
}

test('an import leaves nothing behind if its job cannot be added', async () => {
  await breakKey(`${api.prefix}:imports:id`)
  const { status } = await client.post('/uploads', { sourceUrl: 'https://files.example/a.png', size: 7 })
  assert.ok(status >= 500, String(status))
  assert.equal(await countRemaining(), nothing)
  await api.redis.del(`${api.prefix}:imports:id`)
})

const opensMultipart = ({ method, path }: SeenRequest) => method === 'POST' && /[?&]uploads(=|$|&)/.test(path)
const listsMultiparts = ({ method, path }: SeenRequest) => method === 'GET' && /[?&]uploads(=|$|&)/.test(path)

test('an announced multipart upload leaves nothing behind if the response of S3 that opened it is lost', async () => {
  proxy.intercept((request) => (opensMultipart(request) ? 'cut' : 'pass'))
  const response = await client.post('/uploads', { ...announced, size: 20 * MiB })
  assert.is(response.status, 503)
  assert.equal(await countRemaining(), nothing)
})

test('an announced multipart upload leaves nothing behind if its announcement is not written, or S3 does not confirm it', async () => {
  for (const action of ['refuse', 'cut'] as const) {
    proxy.intercept(({ method, path }) =>
      method === 'PUT' && path.includes('/unfinished/') ? action : 'pass',
    )
    const response = await client.post('/uploads', { ...announced, size: 20 * MiB })
    assert.is(response.status, 503)
    assert.equal(await countRemaining(), nothing)
  }
})

test('a failed abort of the multipart upload hides neither the first error nor the other undo steps', async () => {
  let refused = 0
  proxy.intercept((request) => {
    if (!listsMultiparts(request)) return 'pass'
    refused += 1
    return 'refuse'
  })
  await breakKey(ownerKey('uploads'))
  const response = await client.post('/uploads', { ...announced, size: 20 * MiB })
  assert.equal([response.status, bodyOf(response, Problem).code], [500, 'internal'], 'the error of Redis')
  assert.is(refused, 1)
  assert.equal(await countRemaining(), { ...nothing, multipartUploads: 1 })
})

test('a record that cannot be deleted hides neither the first error nor the other undo steps', async () => {
  const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/originals/'))
  const sending = client.request('POST', '/upload?filename=a.txt', {
    body: 'the file',
    headers: { 'content-type': 'text/plain' },
  })
  await held.arrived
  assert.equal(await countRemaining(), {
    ...nothing,
    records: 1,
    reservations: 1,
    reservedBytes: 8,
    unfinished: 1,
  })
  try {
    // Only the undo step of the record uses DEL.
    await api.redis.call('ACL', 'SETUSER', 'default', '-del')
    held.release('refuse')
    const response = await sending
    assert.equal([response.status, bodyOf(response, Problem).code], [503, 'dependency_unavailable'])
  } finally {
    await api.redis.call('ACL', 'SETUSER', 'default', '+del')
  }
  assert.equal(await countRemaining(), { ...nothing, records: 1 })
})

test.run()
