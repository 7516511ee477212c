import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Problem } from '@millrace/api/requests/problem.ts'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient, type HttpClient, type HttpResponse } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'
import { tusMetadata } from '../../support/tus-client.ts'

const test = suite('Redis of one stranger', {}, { limitMs: 120_000 })
const MiB = 1024 ** 2
/** Uploads that one address may announce. */
const budget = 10
/** How many times the budget each attack sends. */
const excess = 5
let directory: string
let redisServer: RedisServer
let api: ApiInstances

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-bound-'))
  // A separate server, whose memory is of these tests only.
  redisServer = await startRedisServer({ directory })
  api = await startApiInstances({
    redisUrl: redisServer.url,
    environment: {
      MAX_UNFINISHED_UPLOADS_PER_ADDRESS: String(budget),
      MAX_UNFINISHED_UPLOADS_PER_OWNER: '0',
      QUOTA_BYTES_PER_DAY: String(1024 ** 4),
      QUOTA_FILES_PER_DAY_PER_ADDRESS: '100000',
    },
  })
})
test.before.each(() => api.redis.flushall())
test.after(async () => {
  await api.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

/** As much text as S3 stores with an object. */
const metadata = Object.fromEntries(Array.from({ length: 6 }, (_, n) => [`name-${n}`, 'm'.repeat(256)]))
const file = { filename: 'n'.repeat(100), contentType: 'image/png', metadata }

/**
 * What a stranger sends: its name, the memory that one announced upload may take in bytes, half more than measured, and one
 * request.
 */
const attacks: [name: string, uploadBytes: number, send: (n: number) => Promise<HttpResponse>][] = [
  ['forms, each of another owner', 7_000, () => stranger().post('/uploads', { ...file, size: 7 })],
  [
    'forms with Idempotency-Keys',
    7_500,
    async (n) => (await known()).post('/uploads', { ...file, size: 7 }, keyed(n)),
  ],
  [
    'files of 100 parts with Idempotency-Keys',
    7_500,
    async (n) => (await known()).post('/uploads', { ...file, size: 900 * MiB }, keyed(n)),
  ],
  [
    'imports with long URLs',
    16_000,
    (n) => {
      const sourceUrl = `https://files.example/${n}/${'x'.repeat(4_060)}`
      return stranger().post('/uploads', { ...file, sourceUrl })
    },
  ],
  [
    'tus uploads with long metadata',
    14_000,
    () => {
      const fields = { filename: file.filename, ...metadata, relativePath: 'p'.repeat(1_000) }
      const headers = {
        'tus-resumable': '1.0.0',
        'upload-length': '7',
        'upload-metadata': tusMetadata(fields),
      }
      return stranger().request('POST', '/tus/', { headers })
    },
  ],
  [
    'forms that are erased at once',
    2_500,
    async () => {
      const client = await known()
      const response = await client.post('/uploads', { ...file, size: 7 })
      if (response.status === 201) await client.delete(response.headers.get('location') ?? '')
      return response
    },
  ],
]

const stranger = () => createHttpClient(api.url)
const keyed = (n: number) => ({ headers: { 'idempotency-key': `${n}-${'k'.repeat(240)}` } })

/** Returns a client with a session of its own, so that its Idempotency-Keys count. */
async function known(): Promise<HttpClient> {
  const client = stranger()
  await client.get('/session')
  return client
}

/** Returns the keys that uploads have made. */
async function keysOfUploads(): Promise<string[]> {
  const keys = await api.redis.keys(`${api.prefix}:*`)
  // Sessions and rate limits have their own budgets. The others are of the fleet, and the same without any upload.
  return keys.filter((key) => !/:(session|new-sessions|rate):|:\{fleet\}:|:epoch$/.test(key))
}

async function memoryOf(keys: string[]): Promise<number> {
  const bytes = await Promise.all(keys.map((key) => api.redis.memory('USAGE', key)))
  return bytes.reduce((sum: number, each) => sum + Number(each), 0)
}

/** What BullMQ has besides jobs, in bytes: its streams of events are trimmed. */
const queueBytes = 10_000

for (const [name, uploadBytes, send] of attacks) {
  test(`${name}: what is sent above the budget of an address takes no memory`, async () => {
    let atBudget = 0
    for (let n = 0; n < budget * excess; n++) {
      const response = await send(n)
      if (n < budget) assert.is(response.status, 201)
      else
        assert.equal([response.status, bodyOf(response, Problem).code], [429, 'too_many_unfinished_uploads'])
      if (n === budget) atBudget = await memoryOf(await keysOfUploads())
    }
    const keys = await keysOfUploads()
    const bytes = await memoryOf(keys)
    assert.ok(bytes <= budget * uploadBytes + queueBytes, `${bytes} bytes for ${budget} uploads`)
    assert.ok(bytes <= atBudget * 1.1, `${bytes} bytes, ${atBudget} at the budget`)
    for (const key of keys) {
      // Jobs end with their import, and the fleet's own keys stay.
      if (/:(imports|uploads|webhooks):(?!\{)/.test(key)) continue
      assert.ok((await api.redis.pttl(key)) > 0, `${key} does not expire`)
    }
  })
}

test.run()
