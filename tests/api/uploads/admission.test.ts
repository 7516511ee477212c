import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ListMultipartUploadsCommand, S3Client } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/http/problem.ts'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { connectStreamingS3 } from '@millrace/shared/service/connections.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { tusMetadata } from '../../support/tus-client.ts'
import { type S3Proxy, type SeenRequest, startS3Proxy } from '../../worker/support/s3-proxy.ts'

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
  // A server of its own: the tests take commands from every connection to it.
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
          // Expired at once, so that the signer reads them each time.
          return { ...credentials, expiration: new Date() }
        },
      })
      closeClients = () => [s3, streamingS3, publicS3].map((one) => one.destroy())
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
  assert.equal(await whatIsLeft(), nothing)
})
test.after(async () => {
  await api.close()
  closeClients()
  await proxy.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

const nothing = { records: 0, reservations: 0, reservedBytes: 0, multipartUploads: 0 }

/** What Redis and S3 have of the client's uploads. */
async function whatIsLeft() {
  const { Uploads = [] } = await api.s3.send(
    new ListMultipartUploadsCommand({ Bucket: api.bucket, Prefix: `originals/${owner}/` }),
  )
  return {
    records: (await api.redis.keys(`${api.prefix}:{${owner}}:upload:*`)).length,
    reservations: await api.redis.hlen(ownerKey('quota:held')),
    reservedBytes: Number(await api.redis.hget(ownerKey('quota'), 'bytes')),
    multipartUploads: Uploads.length,
  }
}

function ownerKey(name: string): string {
  return `${api.prefix}:{${owner}}:${name}`
}

/** Gives a key a type that its readers do not expect. */
async function spoil(key: string): Promise<void> {
  await api.redis.del(key)
  await api.redis.set(key, 'spoiled')
}

const announced = { filename: 'a.bin', contentType: 'image/png' }
/** Every way to send a file, with a file that S3 takes in parts where the way has parts. */
const ways: [name: string, send: () => Promise<HttpResponse>][] = [
  ['an announced form', () => client.post('/uploads', { ...announced, size: 7 })],
  ['an announced multipart upload', () => client.post('/uploads', { ...announced, size: 20 * MiB })],
  ['an import', () => client.post('/uploads', { sourceUrl: 'https://files.example/a.png', size: 7 })],
  [
    'a direct upload',
    () =>
      client.request('POST', '/upload?filename=a.txt', {
        body: 'the file',
        headers: { 'content-type': 'text/plain' },
      }),
  ],
  [
    'a tus upload',
    () =>
      client.request('POST', '/tus/', {
        headers: {
          'tus-resumable': '1.0.0',
          'upload-length': String(20 * MiB),
          'upload-metadata': tusMetadata({ filename: 'a.bin' }),
        },
      }),
  ],
  [
    "Uppy's form",
    () =>
      client.get(`/uppy/s3/params?filename=a.bin&type=image/png&${encodeURIComponent('metadata[size]')}=7`),
  ],
  [
    "Uppy's multipart upload",
    () =>
      client.post('/uppy/s3/multipart', {
        filename: 'a.bin',
        type: 'image/png',
        metadata: { size: 20 * MiB },
      }),
  ],
]

for (const [name, send] of ways) {
  test(`${name} leaves nothing if writing its record fails half-way`, async () => {
    // The script has written the record when it comes to the index.
    await spoil(ownerKey('uploads'))
    const { status } = await send()
    assert.ok(status >= 500, String(status))
    assert.equal(await whatIsLeft(), nothing)
  })
}

for (const [name, send] of ways.filter(([name]) => /announced|Uppy's form/.test(name))) {
  test(`${name} leaves nothing if nothing can be signed for it`, async () => {
    canSign = false
    const { status } = await send()
    assert.ok(status >= 500, String(status))
    assert.equal(await whatIsLeft(), nothing)
  })
}

test('an import leaves nothing if its job cannot be added', async () => {
  await spoil(`${api.prefix}:imports:id`)
  const { status } = await client.post('/uploads', { sourceUrl: 'https://files.example/a.png', size: 7 })
  assert.ok(status >= 500, String(status))
  assert.equal(await whatIsLeft(), nothing)
  await api.redis.del(`${api.prefix}:imports:id`)
})

const opens = ({ method, path }: SeenRequest) => method === 'POST' && /[?&]uploads(=|$|&)/.test(path)

test('an announced multipart upload leaves nothing if the response of S3 that opened it is lost', async () => {
  proxy.intercept((seen) => (opens(seen) ? 'cut' : 'pass'))
  const answer = await client.post('/uploads', { ...announced, size: 20 * MiB })
  assert.is(answer.status, 503)
  assert.equal(await whatIsLeft(), nothing)
})

test('a failed abort of the multipart upload hides neither the first error nor the other undo steps', async () => {
  const lists = ({ method, path }: SeenRequest) => method === 'GET' && /[?&]uploads(=|$|&)/.test(path)
  let refused = 0
  proxy.intercept((seen) => {
    if (!lists(seen)) return 'pass'
    refused += 1
    return 'refuse'
  })
  await spoil(ownerKey('uploads'))
  const answer = await client.post('/uploads', { ...announced, size: 20 * MiB })
  assert.equal([answer.status, bodyOf(answer, Problem).code], [500, 'internal'], 'the error of Redis')
  assert.is(refused, 1)
  assert.equal(await whatIsLeft(), { ...nothing, multipartUploads: 1 })
})

test('a record that cannot be deleted hides neither the first error nor the other undo steps', async () => {
  const held = proxy.hold(({ method, path }) => method === 'PUT' && path.includes('/originals/'))
  const sending = client.request('POST', '/upload?filename=a.txt', {
    body: 'the file',
    headers: { 'content-type': 'text/plain' },
  })
  await held.arrived
  assert.equal(await whatIsLeft(), { ...nothing, records: 1, reservations: 1, reservedBytes: 8 })
  try {
    // Of the undo steps only that of the record uses DEL.
    await api.redis.call('ACL', 'SETUSER', 'default', '-del')
    held.release('refuse')
    const answer = await sending
    assert.equal([answer.status, bodyOf(answer, Problem).code], [503, 'dependency_unavailable'])
  } finally {
    await api.redis.call('ACL', 'SETUSER', 'default', '+del')
  }
  assert.equal(await whatIsLeft(), { ...nothing, records: 1 })
})

test.run()
