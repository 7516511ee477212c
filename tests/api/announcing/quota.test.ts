import { randomUUID } from 'node:crypto'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Announced } from '@millrace/api/uploads/upload-routes.ts'
import { createQuotaReservations } from '@millrace/shared/quotas/quota-reservations.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { announce, formOf, sendForm } from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { startWorkerFleet } from '../../worker/support/worker-fleet.ts'

const test = suite('quota')
const apis: ApiInstances[] = []

test.after.each(async () => {
  for (const api of apis.splice(0)) await api.close()
})

async function start(environment: Record<string, string>, count = 1): Promise<ApiInstances> {
  const api = await startApiInstances({ count, environment })
  apis.push(api)
  return api
}

async function createSessionClient(api: ApiInstances): Promise<HttpClient> {
  const client = createHttpClient(api.url)
  await client.get('/session')
  return client
}

/** Requests an upload of this size, in bytes. Unlike `announce`, it also returns errors. */
function requestUpload(client: HttpClient, size: number, base?: string): Promise<HttpResponse> {
  const file = { filename: 'a.jpg', contentType: 'image/jpeg', size }
  return client.post('/uploads', file, { ...(base && { base }) })
}

function problemOf(response: HttpResponse) {
  const { code, limit, remaining } = bodyOf(response, Problem)
  return [response.status, code, limit, remaining]
}

/** Returns the owner of an upload, as its record's key contains it. */
async function ownerOf(api: ApiInstances, id: string): Promise<string> {
  const [key = ''] = await api.redis.keys(`${api.prefix}:*:upload:${id}`)
  return /\{(.+)\}/.exec(key)?.[1] ?? ''
}

test('without a quota setting, nothing is counted', async () => {
  const api = await start({})
  const { id } = await announce(createHttpClient(api.url), 7)
  const owner = await ownerOf(api, id)
  assert.equal(await api.redis.keys(`${api.prefix}:{${owner}}:quota*`), [])
})

test('an upload over the total bytes is refused, and the problem contains the remaining bytes', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100' })
  const client = await createSessionClient(api)
  assert.is((await requestUpload(client, 60)).status, 201)
  assert.equal(problemOf(await requestUpload(client, 41)), [413, 'quota_exceeded', 100, 40])
  assert.is((await requestUpload(client, 40)).status, 201)
  const full = await requestUpload(client, 1)
  assert.equal(problemOf(full), [413, 'quota_exceeded', 100, 0])
  assert.is(bodyOf(full, Problem).detail, 'The quota is 100 bytes in total; 0 are left.')
  assert.is(
    (await requestUpload(await createSessionClient(api), 100)).status,
    201,
    'other owners have their own quota',
  )
})

test('an upload over the total number of files is refused', async () => {
  const api = await start({ QUOTA_FILES_TOTAL: '2' })
  const client = await createSessionClient(api)
  for (let n = 0; n < 2; n++) assert.is((await requestUpload(client, 1)).status, 201)
  assert.equal(problemOf(await requestUpload(client, 1)), [413, 'quota_exceeded', 2, 0])
})

test("an upload over the day's quota is refused with Retry-After until midnight UTC", async () => {
  const api = await start({ QUOTA_BYTES_PER_DAY: '100', QUOTA_FILES_PER_DAY: '2' })
  const client = await createSessionClient(api)
  assert.equal(
    problemOf(await requestUpload(client, 101)),
    [413, 'quota_exceeded', 100, 100],
    'larger than the quota of any day',
  )
  assert.is((await requestUpload(client, 60)).status, 201)
  const exhausted = await requestUpload(client, 41)
  assert.equal(problemOf(exhausted), [429, 'quota_exhausted_today', 100, 40])
  const midnight = new Date().setUTCHours(24, 0, 0, 0)
  const waitSeconds = Number(exhausted.headers.get('retry-after'))
  assert.ok(Math.abs(Date.now() + waitSeconds * 1000 - midnight) < 5_000, String(waitSeconds))
  assert.is((await requestUpload(client, 1)).status, 201)
  assert.equal(problemOf(await requestUpload(client, 1)), [429, 'quota_exhausted_today', 2, 0])
})

test('concurrent uploads do not exceed the quota together', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100' }, 2)
  const client = await createSessionClient(api)
  const responses = await Promise.all(
    Array.from({ length: 20 }, (_, n) => requestUpload(client, 10, api.urls[n % 2])),
  )
  assert.is(responses.filter(({ status }) => status === 201).length, 10)
  assert.is(responses.filter(({ status }) => status === 413).length, 10)
})

test('the quota of an erased upload and of a failed admission is released', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '20000000' })
  const client = await createSessionClient(api)
  const { id } = bodyOf(await requestUpload(client, 20_000_000), Announced)
  assert.is((await requestUpload(client, 1)).status, 413)
  for (let n = 0; n < 3; n++) assert.is((await client.delete(`/uploads/${id}`)).status, 200)
  const tooMuch = problemOf(await requestUpload(client, 20_000_001))
  assert.equal(tooMuch, [413, 'quota_exceeded', 20_000_000, 20_000_000], 'it is released once')
  assert.is((await requestUpload(client, 1)).status, 201)
  await api.stopCloud()
  const failed = await requestUpload(client, 19_999_999)
  assert.is(failed.status, 503)
  // Neither needs S3: a form is signed, and a refusal is Redis' count.
  assert.equal(problemOf(await requestUpload(client, 20_000_000)), [
    413,
    'quota_exceeded',
    20_000_000,
    19_999_999,
  ])
  assert.is((await requestUpload(client, 8_000_000)).status, 201)
})

test('the quota of an expired upload is released, but not that of an upload that arrived', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100' })
  const client = await createSessionClient(api)
  const arrived = await announce(client, 30)
  await sendForm(formOf(arrived), new Uint8Array(30))
  const expired = await announce(client, 70)
  const openKey = `${api.prefix}:{${await ownerOf(api, expired.id)}}:quota:open`
  assert.is((await requestUpload(client, 1)).status, 413)
  // Both reservations have expired.
  await api.redis.zadd(openKey, 0, arrived.id, 0, expired.id)
  assert.equal(problemOf(await requestUpload(client, 71)), [413, 'quota_exceeded', 100, 70])
  assert.is((await requestUpload(client, 70)).status, 201)
})

test('quota is counted again from S3 after Redis lost it', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100', QUOTA_FILES_PER_DAY: '2' })
  const client = await createSessionClient(api)
  const announced = await announce(client, 60)
  await sendForm(formOf(announced), new Uint8Array(60))
  await api.redis.del(...(await api.redis.keys(`${api.prefix}:*`)))
  assert.equal(problemOf(await requestUpload(client, 41)), [413, 'quota_exceeded', 100, 40])
  assert.is((await requestUpload(client, 40)).status, 201)
  assert.is(problemOf(await requestUpload(client, 0.5)).at(0), 400)
})

test('the daily recount adds uncounted originals and removes counted ones that do not exist', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100' })
  const client = await createSessionClient(api)
  const { id } = await announce(client, 10)
  const owner = await ownerOf(api, id)
  const reservations = createQuotaReservations({ redis: api.redis, prefix: api.prefix })
  const missing = '0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa'
  const uncounted = '0199bbbb-aaaa-7aaa-8aaa-aaaaaaaaaaaa'
  await reservations.adopt(owner, [{ id: missing, bytes: 90 }], Date.now())
  assert.equal(problemOf(await requestUpload(client, 5)), [413, 'quota_exceeded', 100, 0])
  await api.s3.send(
    new PutObjectCommand({
      Bucket: api.bucket,
      Key: `originals/${owner}/${uncounted}`,
      Body: 'x'.repeat(20),
    }),
  )
  await api.redis.del(`${api.prefix}:{${owner}}:quota:whole`)
  assert.equal(problemOf(await requestUpload(client, 71)), [413, 'quota_exceeded', 100, 70])
})

test('quota counts a direct upload by its declared length, or by its received bytes', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100' })
  const client = await createSessionClient(api)
  const send = (size: number, filename: string) =>
    client.request('POST', `/upload?filename=${filename}`, {
      body: 'x'.repeat(size),
      headers: { 'content-type': 'text/plain' },
    })
  assert.is((await send(60, 'a')).status, 201)
  assert.equal(problemOf(await send(41, 'b')), [413, 'quota_exceeded', 100, 40])
  const sendFormFile = (size: number) => {
    const content = `--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n${'x'.repeat(size)}\r\n--b--\r\n`
    return client.request('POST', '/upload', {
      body: content,
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
    })
  }
  assert.equal(problemOf(await sendFormFile(41)), [413, 'quota_exceeded', 100, 40])
  assert.is((await sendFormFile(40)).status, 201)
  assert.equal(problemOf(await requestUpload(client, 1)), [413, 'quota_exceeded', 100, 0])
})

test('the quota of an upload that a worker rejected and deleted is released', async () => {
  const fleet = await startWorkerFleet()
  try {
    await fleet.startWorker()
    const reservations = createQuotaReservations({ redis: fleet.redis, prefix: fleet.prefix })
    const announced = await fleet.announce(Buffer.alloc(1000))
    await reservations.adopt(announced.owner, [], Date.now())
    const limits = { bytesTotal: 1000 }
    assert.is((await reservations.reserve(announced, 1000, Date.now() + 60_000, limits)).outcome, 'reserved')
    await fleet.arrive(Buffer.alloc(999), announced)
    assert.is((await fleet.finished(announced)).error?.code, 'size_mismatch')
    const next = { ...announced, id: '0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa' }
    assert.is((await reservations.reserve(next, 1000, Date.now() + 60_000, limits)).outcome, 'reserved')
  } finally {
    await fleet.close()
  }
})

test('quota counts petabytes exactly', async () => {
  const api = await start({})
  const reservations = createQuotaReservations({ redis: api.redis, prefix: api.prefix })
  const owner = `o-${randomUUID()}`
  const fiveTiB = 5 * 1024 ** 4
  await reservations.adopt(owner, [], Date.now())
  const limits = { bytesTotal: 1000 * fiveTiB }
  for (let n = 0; n < 100; n++) {
    const id = `0199aaaa-aaaa-7aaa-8aaa-${String(n).padStart(12, '0')}`
    await reservations.reserve({ owner, id }, fiveTiB - 1, Date.now(), limits)
  }
  assert.is(await api.redis.hget(`${api.prefix}:{${owner}}:quota`, 'bytes'), String(100 * (fiveTiB - 1)))
})

test.run()
