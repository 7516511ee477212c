import { mkdir, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { HeadBucketCommand } from '@aws-sdk/client-s3'
import { Ready } from '@millrace/api/fleet/health-routes.ts'
import { Problem } from '@millrace/api/requests/problem.ts'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { lockDataDirectory } from '@millrace/local/setup/data-directory.ts'
import { freeBytesOf, minFreeBytes } from '@millrace/local-s3/storage/disk-space.ts'
import { isTransient } from '@millrace/shared/connections/outage.ts'
import { errorCatalogue } from '@millrace/shared/service/app-error.ts'
import * as assert from 'uvu/assert'
import { countContentFiles } from '../../local-s3/support/count-content-files.ts'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce, formOf, sendForm } from '../../support/send-upload.ts'
import { mountSmallDisk } from '../../support/small-disk.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('full disk', {}, { limitMs: 60_000 })
const MiB = 1024 ** 2
const disk = await mountSmallDisk(48)
let redisServer: RedisServer
let api: ApiInstances
let client: HttpClient
let filler: string

if (!disk) {
  test.skip('all tests of a full disk', 'this user may not mount a small one')
} else {
  test.before(async () => {
    filler = join(disk.directory, 'filler')
    redisServer = await startRedisServer({ directory: join(disk.directory, 'redis') })
    const directory = join(disk.directory, 'cloud')
    await mkdir(directory)
    api = await startApiInstances({ redisUrl: redisServer.url, directory })
    client = createHttpClient(api.url)
  })
  test.after(async () => {
    await rm(filler, { force: true })
    await api.close()
    await redisServer.close()
    await disk.remove()
  })

  /** Fills the disk up to a remainder, in bytes. */
  const fill = async (remainder: number) => {
    await rm(filler, { force: true })
    const bytes = Buffer.alloc(freeBytesOf(await statfs(disk.directory)) - remainder)
    await writeFile(filler, bytes).catch((error: NodeJS.ErrnoException) => {
      // Redis or S3 wrote something meanwhile, and the rest is full as well.
      if (remainder > 0 || error.code !== 'ENOSPC') throw error
    })
  }
  const readiness = async () => {
    const { status, body } = await client.get('/ready')
    return { status, body }
  }
  const upload = (bytes: number) =>
    client.request('POST', '/upload?filename=photo.jpg', {
      body: new Uint8Array(bytes),
      headers: { 'content-type': 'image/jpeg' },
    })
  const contentFiles = () => countContentFiles(join(disk.directory, 'cloud/s3'))

  test('a full S3 refuses files with 507, keeps nothing of them, is not ready, and still erases uploads', async () => {
    const kept = await upload(1_000)
    assert.is(kept.status, 201, JSON.stringify(kept.body))
    const announced = await announce(client, 200_000)
    const files = await contentFiles()
    await fill(minFreeBytes - MiB)

    expectFull(await upload(5 * MiB), 'S3')
    const refused = await sendForm(formOf(announced), new Uint8Array(200_000))
    assert.is(refused.status, 507)
    assert.match(await refused.text(), '<Code>StorageFull</Code><Message>The disk of this server is full.')
    assert.is(await contentFiles(), files)
    assert.equal(await readiness(), {
      status: 503,
      body: { status: 'unready', checks: { redis: 'ok', s3: 'full', sqs: 'ok' } },
    })
    const error = await api.s3.send(new HeadBucketCommand({ Bucket: api.bucket })).catch((reason) => reason)
    assert.ok(isTransient(error), 'workers retry without using up attempts')

    const deleted = await client.request('DELETE', `/uploads/${String(Object(kept.body).id)}`)
    assert.is(deleted.status, 200, JSON.stringify(deleted.body))
  })

  test('a file that fills the disk while it arrives is refused with 507 and removed', async () => {
    const files = await contentFiles()
    await fill(minFreeBytes + MiB)
    expectFull(await upload(minFreeBytes + 4 * MiB), 'S3')
    assert.is(await contentFiles(), files)
  })

  test('npm start says that the disk of the data directory is full', async () => {
    // Redis and S3 write to the same disk meanwhile. At 15 MiB exactly, the first page that they write would make it 14 MiB.
    await fill(minFreeBytes - MiB / 4)
    const directory = join(disk.directory, 'data')
    assert.throws(
      () => lockDataDirectory(directory),
      (error: Error) =>
        error.name === 'StartError' &&
        error.message ===
          `The disk of the data directory ${directory} is full (15 MiB of the required 16 MiB are free): free some space, or choose another one with --data.`,
    )
  })

  test('a Redis whose disk is full refuses changes with 507, and everything works when there is space again', async () => {
    await fill(0)
    // What Redis appends may still fit into its last block.
    let reply: unknown
    while (!(reply instanceof Error)) {
      reply = await api.redis.set('filler', Buffer.alloc(MiB)).catch((error: unknown) => error)
    }
    expectFull(
      await client.post('/uploads', { filename: 'a.jpg', contentType: 'image/jpeg', size: 1 }),
      'Redis',
    )
    const { body } = await client.get('/ready')
    assert.equal(Object(body).checks, { redis: 'full', s3: 'full', sqs: 'ok' })

    await rm(filler)
    // Redis tries once a second to append again.
    await until(async () => bodyOf(await client.get('/ready'), Ready).status.startsWith('ready'))
    assert.is((await upload(1_000)).status, 201)
  })
}

function expectFull(response: HttpResponse, storage: string) {
  assert.is(response.status, 507, JSON.stringify(response.body))
  const { code, detail } = bodyOf(response, Problem)
  assert.is(code, 'storage_full')
  assert.is(detail, `The disk of ${storage} has no space left. Free some space, then send the request again.`)
  assert.ok(errorCatalogue.storage_full.retryable)
}

test.run()
