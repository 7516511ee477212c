import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Ready } from '@millrace/api/fleet/health-routes.ts'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { bodyOf, createHttpClient } from '../../support/http-client.ts'
import { suite } from '../../support/suite.ts'

const test = suite('readiness')
let directory: string
let redisServer: RedisServer
let api: ApiInstances

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-readiness-'))
  redisServer = await startRedisServer({ directory })
  api = await startApiInstances({ redisUrl: redisServer.url })
})
test.after(async () => {
  await api.close()
  await redisServer.close()
  await rm(directory, { recursive: true })
})

async function readiness() {
  const response = await createHttpClient(api.url).get('/ready')
  return { http: response.status, ...bodyOf(response, Ready) }
}

const ready = { http: 200, status: 'ready', checks: { redis: 'ok', s3: 'ok', sqs: 'ok' } }
const unready = { http: 503, status: 'unready', checks: { redis: 'failed', s3: 'ok', sqs: 'ok' } }

const faults: [name: string, begin: () => Promise<unknown>, end: () => Promise<unknown>][] = [
  ['became a replica', () => api.redis.replicaof('127.0.0.1', 1), () => api.redis.replicaof('NO', 'ONE')],
  [
    'is full',
    () => api.redis.config('SET', 'maxmemory', '1'),
    () => api.redis.config('SET', 'maxmemory', '0'),
  ],
  [
    'has too few replicas to accept writes',
    () => api.redis.config('SET', 'min-replicas-to-write', '1'),
    () => api.redis.config('SET', 'min-replicas-to-write', '0'),
  ],
]

for (const [name, begin, end] of faults) {
  test(`an instance is not ready while its Redis ${name}, and ready again afterwards`, async () => {
    assert.equal(await readiness(), ready)
    await begin()
    assert.equal(await readiness(), unready)
    await end()
    assert.equal(await readiness(), ready)
  })
}

test('the key that the check writes expires', async () => {
  await readiness()
  const ttlMs = await api.redis.pttl(`${api.prefix}:ready:api-1`)
  assert.ok(ttlMs > 0 && ttlMs <= 10_000, String(ttlMs))
})

test.run()
