import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Problem } from '@millrace/api/requests/problem.ts'
import { Announced } from '@millrace/api/uploads/upload-routes.ts'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { limitRedisMemory } from '../../support/limit-redis-memory.ts'
import {
  type AnnouncedUpload,
  announce,
  formOf,
  multipartOf,
  readUpload,
  sendForm,
  sendPart,
} from '../../support/send-upload.ts'
import { suite } from '../../support/suite.ts'
import { createTus, patchTus } from '../../support/tus-client.ts'
import { until } from '../../support/until.ts'
import { waysToSend } from '../../support/ways-to-send.ts'

const test = suite('storage busy')
const MiB = 1024 ** 2
const file = new Uint8Array(Buffer.from('the file'))
const small = { filename: 'a.bin', contentType: 'image/png', size: 7 }
const idempotent = { headers: { 'idempotency-key': 'one' } }

let directory: string
let redisServer: RedisServer
let api: ApiInstances
let client: HttpClient
/** Uploads that were admitted while Redis had memory. */
let form: AnnouncedUpload
let multipart: AnnouncedUpload
let tus: string
let repeated: HttpResponse

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-busy-'))
  redisServer = await startRedisServer({ directory })
  api = await startApiInstances({ redisUrl: redisServer.url })
  client = createHttpClient(api.url)
  await client.get('/session')
  form = await announce(client, file.length)
  multipart = await announce(client, 9 * MiB)
  tus = await createTus(client, file.length)
  repeated = await client.post('/uploads', small, idempotent)
  // So much that connections and scripts, which use memory too, do not fill the rest of it.
  await api.redis.setrange('filler', 32 * MiB, 'x')
  await limitRedisMemory(api.redis, 0.85)
  await until(async () => (await client.post('/uploads', small)).status === 503)
})
test.after(async () => {
  await api.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

for (const [name, send] of waysToSend) {
  test(`while Redis is almost full, ${name} gets 503 storage_busy with Retry-After`, async () => {
    const response = await send(client)
    assert.equal([response.status, bodyOf(response, Problem).code], [503, 'storage_busy'])
    assert.is(response.headers.get('retry-after'), '5')
  })
}

test('while Redis is almost full, an announced form is sent and found', async () => {
  assert.ok((await sendForm(formOf(form), file)).ok)
  assert.is((await readUpload(client, form.id)).state, 'awaiting')
})

test('while Redis is almost full, an announced multipart upload is completed', async () => {
  const { parts, partSize } = multipartOf(multipart)
  const sent = await Promise.all(
    parts.map(async ({ partNumber, url }) => {
      const bytes = new Uint8Array(Math.min(partSize, 9 * MiB - (partNumber - 1) * partSize))
      return { partNumber, etag: await sendPart(url, bytes) }
    }),
  )
  const signed = await client.post(`/uploads/${multipart.id}/parts`, { partNumbers: [1] })
  assert.is(signed.status, 200)
  const completed = await client.post(`/uploads/${multipart.id}/complete`, { parts: sent })
  assert.is(completed.status, 202)
})

test('while Redis is almost full, a tus upload gets its bytes', async () => {
  const { status, offset } = await patchTus(client, api.url + tus, { offset: 0, bytes: file })
  assert.equal([status, offset], [204, file.length])
})

test('while Redis is almost full, a repeated request gets its upload', async () => {
  const response = await client.post('/uploads', small, idempotent)
  assert.equal([response.status, bodyOf(response, Announced).id], [201, bodyOf(repeated, Announced).id])
})

test('when Redis has memory again, uploads are admitted', async () => {
  await limitRedisMemory(api.redis, 0.5)
  await until(async () => (await client.post('/uploads', small)).status === 201)
})

test.run()
