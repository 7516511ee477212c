import { randomUUID } from 'node:crypto'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { Problem } from '@millrace/api/http/problem.ts'
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

async function known(api: ApiInstances): Promise<HttpClient> {
  const client = createHttpClient(api.url)
  await client.get('/session')
  return client
}

function ask(client: HttpClient, size: number, base?: string): Promise<HttpResponse> {
  const file = { filename: 'a.jpg', contentType: 'image/jpeg', size }
  return client.post('/uploads', file, { ...(base && { base }) })
}

function told(answer: HttpResponse) {
  const { code, limit, remaining } = bodyOf(answer, Problem)
  return [answer.status, code, limit, remaining]
}

/** Who the client is, by the record of one of its uploads. */
async function ownerOf(api: ApiInstances, id: string): Promise<string> {
  const [key = ''] = await api.redis.keys(`${api.prefix}:*:upload:${id}`)
  return /\{(.+)\}/.exec(key)?.[1] ?? ''
}

test('counts nothing where there is no quota', async () => {
  const api = await start({})
  const { id } = await announce(createHttpClient(api.url), 7)
  const owner = await ownerOf(api, id)
  assert.equal(await api.redis.keys(`${api.prefix}:{${owner}}:quota*`), [])
})

test('takes no more bytes in all than the quota, and says what is left', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100' })
  const client = await known(api)
  assert.is((await ask(client, 60)).status, 201)
  assert.equal(told(await ask(client, 41)), [413, 'quota_exceeded', 100, 40])
  assert.is((await ask(client, 40)).status, 201)
  const full = await ask(client, 1)
  assert.equal(told(full), [413, 'quota_exceeded', 100, 0])
  assert.is(bodyOf(full, Problem).detail, 'The quota is 100 bytes in total; 0 are left.')
  assert.is((await ask(await known(api), 100)).status, 201, 'others have their own')
})

test('takes no more files in all than the quota', async () => {
  const api = await start({ QUOTA_FILES_TOTAL: '2' })
  const client = await known(api)
  for (let n = 0; n < 2; n++) assert.is((await ask(client, 1)).status, 201)
  assert.equal(told(await ask(client, 1)), [413, 'quota_exceeded', 2, 0])
})

test('takes no more a day than the quota, and says when to come again', async () => {
  const api = await start({ QUOTA_BYTES_PER_DAY: '100', QUOTA_FILES_PER_DAY: '2' })
  const client = await known(api)
  assert.equal(told(await ask(client, 101)), [413, 'quota_exceeded', 100, 100], 'that fits no day')
  assert.is((await ask(client, 60)).status, 201)
  const bytes = await ask(client, 41)
  assert.equal(told(bytes), [429, 'quota_exhausted_today', 100, 40])
  const midnight = new Date().setUTCHours(24, 0, 0, 0)
  const waitSeconds = Number(bytes.headers.get('retry-after'))
  assert.ok(Math.abs(Date.now() + waitSeconds * 1000 - midnight) < 5_000, String(waitSeconds))
  assert.is((await ask(client, 1)).status, 201)
  assert.equal(told(await ask(client, 1)), [429, 'quota_exhausted_today', 2, 0])
})

test('does not let many at once pass the quota together', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100' }, 2)
  const client = await known(api)
  const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => ask(client, 10, api.urls[n % 2])))
  assert.is(answers.filter(({ status }) => status === 201).length, 10)
  assert.is(answers.filter(({ status }) => status === 413).length, 10)
})

test('gives back what is erased, and what failed to be announced', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '20000000' })
  const client = await known(api)
  const { id } = bodyOf(await ask(client, 20_000_000), Announced)
  assert.is((await ask(client, 1)).status, 413)
  assert.is((await client.delete(`/uploads/${id}`)).status, 200)
  assert.is((await client.delete(`/uploads/${id}`)).status, 200, 'and only once')
  assert.is((await ask(client, 1)).status, 201)
  await api.stopCloud()
  const failed = await ask(client, 19_999_999)
  assert.ok(failed.status >= 500, String(failed.status))
  // A form is signed without S3, so this one needs the room that was given back.
  assert.is((await ask(client, 8_000_000)).status, 201)
})

test('gives back what was announced and never came, and keeps what came', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100' })
  const client = await known(api)
  const came = await announce(client, 30)
  await sendForm(formOf(came), new Uint8Array(30))
  const never = await announce(client, 70)
  const open = `${api.prefix}:{${await ownerOf(api, never.id)}}:quota:open`
  assert.is((await ask(client, 1)).status, 413)
  // Their time has come.
  await api.redis.zadd(open, 0, came.id, 0, never.id)
  assert.equal(told(await ask(client, 71)), [413, 'quota_exceeded', 100, 70])
  assert.is((await ask(client, 70)).status, 201)
})

test('counts anew from S3 what Redis has lost', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100', QUOTA_FILES_PER_DAY: '2' })
  const client = await known(api)
  const announced = await announce(client, 60)
  await sendForm(formOf(announced), new Uint8Array(60))
  await api.redis.del(...(await api.redis.keys(`${api.prefix}:*`)))
  assert.equal(told(await ask(client, 41)), [413, 'quota_exceeded', 100, 40])
  assert.is((await ask(client, 40)).status, 201)
  assert.is(told(await ask(client, 0.5)).at(0), 400)
})

test('finds once a day what was missed: bytes that nobody counted, and bytes that are gone', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100' })
  const client = await known(api)
  const { id } = await announce(client, 10)
  const owner = await ownerOf(api, id)
  const ledger = createQuotaReservations({ redis: api.redis, prefix: api.prefix })
  const gone = '0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa'
  const uncounted = '0199bbbb-aaaa-7aaa-8aaa-aaaaaaaaaaaa'
  await ledger.adopt(owner, [{ id: gone, bytes: 90 }], Date.now())
  assert.equal(told(await ask(client, 5)), [413, 'quota_exceeded', 100, 0])
  await api.s3.send(
    new PutObjectCommand({
      Bucket: api.bucket,
      Key: `originals/${owner}/${uncounted}`,
      Body: 'x'.repeat(20),
    }),
  )
  await api.redis.del(`${api.prefix}:{${owner}}:quota:whole`)
  assert.equal(told(await ask(client, 71)), [413, 'quota_exceeded', 100, 70])
})

test('counts a file through the API, by its length or by what came', async () => {
  const api = await start({ QUOTA_BYTES_TOTAL: '100' })
  const client = await known(api)
  const send = (size: number, filename: string) =>
    client.request('POST', `/upload?filename=${filename}`, {
      body: 'x'.repeat(size),
      headers: { 'content-type': 'text/plain' },
    })
  assert.is((await send(60, 'a')).status, 201)
  assert.equal(told(await send(41, 'b')), [413, 'quota_exceeded', 100, 40])
  const form = (size: number) => {
    const content = `--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n${'x'.repeat(size)}\r\n--b--\r\n`
    return client.request('POST', '/upload', {
      body: content,
      headers: { 'content-type': 'multipart/form-data; boundary=b' },
    })
  }
  assert.equal(told(await form(41)), [413, 'quota_exceeded', 100, 40])
  assert.is((await form(40)).status, 201)
  assert.equal(told(await ask(client, 1)), [413, 'quota_exceeded', 100, 0])
})

test('gives back what a worker rejected and deleted', async () => {
  const fleet = await startWorkerFleet()
  try {
    await fleet.startWorker()
    const ledger = createQuotaReservations({ redis: fleet.redis, prefix: fleet.prefix })
    const announced = await fleet.announce(Buffer.alloc(1000))
    await ledger.adopt(announced.owner, [], Date.now())
    const limits = { bytesTotal: 1000 }
    assert.is((await ledger.reserve(announced, 1000, Date.now() + 60_000, limits)).outcome, 'reserved')
    await fleet.arrive(Buffer.alloc(999), announced)
    assert.is((await fleet.finished(announced)).error?.code, 'size_mismatch')
    const next = { ...announced, id: '0199aaaa-aaaa-7aaa-8aaa-aaaaaaaaaaaa' }
    assert.is((await ledger.reserve(next, 1000, Date.now() + 60_000, limits)).outcome, 'reserved')
  } finally {
    await fleet.close()
  }
})

test('counts to petabytes exactly', async () => {
  const api = await start({})
  const ledger = createQuotaReservations({ redis: api.redis, prefix: api.prefix })
  const owner = `o-${randomUUID()}`
  const fiveTiB = 5 * 1024 ** 4
  await ledger.adopt(owner, [], Date.now())
  const limits = { bytesTotal: 1000 * fiveTiB }
  for (let n = 0; n < 100; n++) {
    const id = `0199aaaa-aaaa-7aaa-8aaa-${String(n).padStart(12, '0')}`
    await ledger.reserve({ owner, id }, fiveTiB - 1, Date.now(), limits)
  }
  assert.is(await api.redis.hget(`${api.prefix}:{${owner}}:quota`, 'bytes'), String(100 * (fiveTiB - 1)))
})

test.run()
