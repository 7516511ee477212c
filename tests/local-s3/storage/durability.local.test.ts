import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createS3Server } from '@millrace/local-s3/s3-server.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { createClient, localCredentials, localRegion } from '../support/contract-target.ts'
import { countContentFiles } from '../support/count-content-files.ts'
import { signedRequest } from '../support/raw-http.ts'
import { startServerProcess } from '../support/s3-server-process.ts'

// Local only: kills processes and counts files.

const Bucket = 'durable-bucket'
const queueArn = 'arn:aws:sqs:eu-central-1:000000000000:uploads'
const directories: string[] = []

async function newDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'millrace-s3-'))
  directories.push(directory)
  return directory
}

/** Starts a server in this process, on a directory that another server may have used before. */
async function open(
  directory: string,
  deliver: (arn: string, body: string) => Promise<void> = async () => undefined,
) {
  const server = await createS3Server({
    directory,
    region: localRegion,
    credentials: localCredentials,
    deliver,
  })
  const client = createClient({
    endpoint: server.endpoint,
    region: localRegion,
    credentials: localCredentials,
  })
  return {
    client,
    async close() {
      client.destroy()
      await server.close()
    },
  }
}

type Client = Awaited<ReturnType<typeof open>>['client']

async function createBucket(client: Client) {
  await client.createBucket({ Bucket, CreateBucketConfiguration: { LocationConstraint: localRegion } })
}

/** Configures events without the test event, which a failing queue would reject. */
async function configureEvents(client: Client) {
  await client.putBucketNotificationConfiguration({
    Bucket,
    SkipDestinationValidation: true,
    NotificationConfiguration: {
      QueueConfigurations: [{ QueueArn: queueArn, Events: ['s3:ObjectCreated:*'] }],
    },
  })
}

const test = suite('S3 durability')
test.after(async () => {
  for (const directory of directories) await rm(directory, { recursive: true })
})

test('buckets, objects, configurations and open uploads survive a restart', async () => {
  const directory = await newDirectory()
  const before = await open(directory)
  await createBucket(before.client)
  const CORSRules = [{ AllowedOrigins: ['*'], AllowedMethods: ['GET'] }]
  await before.client.putBucketCors({ Bucket, CORSConfiguration: { CORSRules } })
  await configureEvents(before.client)
  await before.client.putObject({ Bucket, Key: 'kept/../key', Body: 'kept', Metadata: { a: 'b' } })
  const upload = { Bucket, Key: 'open' }
  const { UploadId } = await before.client.createMultipartUpload({ ...upload, ContentType: 'x/y' })
  const first = await before.client.uploadPart({
    ...upload,
    UploadId,
    PartNumber: 1,
    Body: Buffer.alloc(5 * 1024 ** 2),
  })
  await before.close()

  const after = await open(directory)
  const got = await after.client.getObject({ Bucket, Key: 'kept/../key' })
  assert.equal([await got.Body?.transformToString(), got.Metadata], ['kept', { a: 'b' }])
  assert.equal((await after.client.getBucketCors({ Bucket })).CORSRules, CORSRules)
  const { QueueConfigurations = [] } = await after.client.getBucketNotificationConfiguration({ Bucket })
  assert.is(QueueConfigurations[0]?.QueueArn, queueArn)
  const second = await after.client.uploadPart({ ...upload, UploadId, PartNumber: 2, Body: 'end' })
  const Parts = [first, second].map(({ ETag }, index) => ({ PartNumber: index + 1, ETag }))
  await after.client.completeMultipartUpload({ ...upload, UploadId, MultipartUpload: { Parts } })
  const head = await after.client.headObject(upload)
  assert.equal([head.ContentLength, head.ContentType], [5 * 1024 ** 2 + 3, 'x/y'])
  await after.close()
})

test('a second server on the same directory fails to start', async () => {
  const directory = await newDirectory()
  const child = await startServerProcess(directory)
  const message = await open(directory).then(
    () => '',
    (error: Error) => error.message,
  )
  assert.match(message, 'in use by another local S3 server')
  await child.kill()
})

test('after kill -9 in the middle of a PUT the old object exists and the new file is deleted', async () => {
  const directory = await newDirectory()
  const child = await startServerProcess(directory)
  await createBucket(child.client)
  await child.client.putObject({ Bucket, Key: 'victim', Body: 'old bytes', Metadata: { version: 'old' } })
  const files = await countContentFiles(directory)

  const target = { endpoint: child.endpoint, region: localRegion, credentials: localCredentials }
  const signed = signedRequest(target, {
    method: 'PUT',
    path: `/${Bucket}/victim`,
    payload: 'UNSIGNED-PAYLOAD',
    headers: { 'content-length': '50000000', 'x-amz-meta-version': 'new', expect: '100-continue' },
  })
  const { hostname, port } = new URL(child.endpoint)
  const put = request({
    hostname,
    port,
    method: 'PUT',
    path: signed.path,
    headers: signed.headers,
    agent: false,
  })
  const broken = new Promise((resolve) => put.once('close', resolve))
  put.on('error', () => undefined)
  put.flushHeaders()
  await once(put, 'continue')
  await new Promise((resolve) => put.write(Buffer.alloc(30_000_000), resolve))
  assert.ok((await countContentFiles(directory)) > files, 'the server has not started to write the upload')
  await child.kill()
  await broken
  assert.ok((await countContentFiles(directory)) > files, 'the killed server left no file')

  const after = await open(directory)
  const got = await after.client.getObject({ Bucket, Key: 'victim' })
  assert.equal([await got.Body?.transformToString(), got.Metadata], ['old bytes', { version: 'old' }])
  assert.is(await countContentFiles(directory), files)
  await after.close()
})

test('kill -9 during many writes loses no acknowledged write and no event', async () => {
  const directory = await newDirectory()
  const child = await startServerProcess(directory)
  await createBucket(child.client)
  await configureEvents(child.client)
  const keys = ['a', 'b', 'c', 'd']
  const acknowledged = new Map(keys.map((key) => [key, 0]))
  const manyWrites = Promise.withResolvers<void>()
  let total = 0
  const writers = keys.map(async (Key) => {
    for (let version = 1; ; version++) {
      const Body = `${Key} ${version} `.repeat(1 + ((version * 7919) % 20_000))
      const written = await child.client
        .putObject({ Bucket, Key, Body, Metadata: { version: String(version) } })
        .then(
          () => true,
          () => false,
        )
      if (!written) return
      acknowledged.set(Key, version)
      total++
      if (total === 60) manyWrites.resolve()
    }
  })
  await manyWrites.promise
  await child.kill()
  await Promise.all(writers)

  const events = new Map(keys.map((key) => [key, [] as string[]]))
  const all = Promise.withResolvers<void>()
  const current = new Map<string, string>()
  const check = () => {
    if (keys.every((key) => current.has(key) && events.get(key)?.at(-1) === current.get(key))) all.resolve()
  }
  const after = await open(directory, async (_arn, body) => {
    const { key, eTag } = JSON.parse(body).Records[0].s3.object
    events.get(key)?.push(eTag)
    check()
  })
  for (const Key of keys) {
    const got = await after.client.getObject({ Bucket, Key })
    const bytes = (await got.Body?.transformToByteArray()) ?? new Uint8Array()
    const version = Number(got.Metadata?.['version'])
    const md5 = createHash('md5').update(bytes).digest('hex')
    assert.is(got.ETag, `"${md5}"`)
    assert.ok(
      Buffer.from(bytes).toString().startsWith(`${Key} ${version} `),
      'bytes and metadata are of different versions',
    )
    assert.ok(version >= (acknowledged.get(Key) ?? 0), `an acknowledged write of ${Key} is lost`)
    current.set(Key, md5)
  }
  check()
  await all.promise
  for (const key of keys) {
    const eventCount = events.get(key)?.length ?? 0
    const writeCount = acknowledged.get(key) ?? 0
    assert.ok(
      eventCount === writeCount || eventCount === writeCount + 1,
      `${eventCount} events for ${writeCount} acknowledged writes of ${key}`,
    )
  }
  assert.is(await countContentFiles(directory), keys.length)
  await after.close()
})

test('undelivered events are delivered in order after a restart', async () => {
  const directory = await newDirectory()
  const down = await open(directory, () => Promise.reject(new Error('the queue is down')))
  await createBucket(down.client)
  await configureEvents(down.client)
  for (const Body of ['1', '22', '333']) await down.client.putObject({ Bucket, Key: 'event', Body })
  await down.close()
  const sizes: number[] = []
  const all = Promise.withResolvers<void>()
  const up = await open(directory, async (arn, body) => {
    assert.is(arn, queueArn)
    sizes.push(JSON.parse(body).Records[0].s3.object.size)
    if (sizes.length === 3) all.resolve()
  })
  await all.promise
  assert.equal(sizes, [1, 2, 3])
  await up.close()
  const repeated: string[] = []
  const again = await open(directory, async (_arn, body) => void repeated.push(body))
  await again.client.headBucket({ Bucket })
  await again.close()
  assert.equal(repeated, [])
})

test('a GET returns the old bytes if the object is replaced meanwhile', async () => {
  const directory = await newDirectory()
  const server = await open(directory)
  await createBucket(server.client)
  // Each part is a file. The reader has opened only the first one when the object is replaced.
  const at = { Bucket, Key: 'read' }
  const { UploadId } = await server.client.createMultipartUpload(at)
  const partBytes = 8 * 1024 ** 2
  const Body = Buffer.alloc(partBytes, 'a')
  const Parts: { PartNumber: number; ETag: string | undefined }[] = []
  for (const PartNumber of [1, 2, 3, 4]) {
    const { ETag } = await server.client.uploadPart({ ...at, UploadId, PartNumber, Body })
    Parts.push({ PartNumber, ETag })
  }
  await server.client.completeMultipartUpload({ ...at, UploadId, MultipartUpload: { Parts } })
  const reading = await server.client.getObject(at)
  await server.client.putObject({ ...at, Body: 'replaced' })
  const bytes = (await reading.Body?.transformToByteArray()) ?? new Uint8Array()
  assert.ok(Buffer.alloc(4 * partBytes, 'a').equals(bytes))
  assert.is(await (await server.client.getObject(at)).Body?.transformToString(), 'replaced')
  await server.close()
  assert.is(await countContentFiles(directory), 1)
})

test.run()
