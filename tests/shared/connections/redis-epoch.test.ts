import { randomUUID } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { createRedisEpoch } from '@millrace/shared/connections/redis-epoch.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('Redis epoch')
let directory: string
let server: Awaited<ReturnType<typeof startRedisServer>>
let redis: Redis
let prefix: string

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-epoch-'))
  server = await startRedisServer({ directory })
  redis = new Redis(server.url)
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(async () => {
  redis.disconnect()
  await server.close()
  await rm(directory, { recursive: true })
})

const epochOf = (connection: Redis) => createRedisEpoch({ redis: connection, prefix, maxAgeMs: 0 })

test('all processes have the same epoch while Redis keeps its data', async () => {
  const first = await epochOf(redis).current()
  assert.ok(Math.abs(Date.now() - first) < 60_000)
  assert.is(await epochOf(redis).current(), first)
})

test('a flush begins a new, greater epoch', async () => {
  const epoch = epochOf(redis)
  const before = await epoch.current()
  // An epoch is a time in ms, so two that begin in one ms are equal.
  await until(async () => (await serverTimeMs()) > before)
  await redis.flushall()
  assert.ok((await epoch.current()) > before)
})

async function serverTimeMs(): Promise<number> {
  const [seconds, microseconds] = await redis.time()
  return Number(seconds) * 1000 + Math.floor(Number(microseconds) / 1000)
}

test('a restart with all data begins a new, greater epoch', async () => {
  const before = await epochOf(redis).current()
  await redis.set(`${prefix}:kept`, 1)
  redis.disconnect()
  await server.close()
  server = await startRedisServer({ directory })
  redis = new Redis(server.url)
  assert.is(await redis.get(`${prefix}:kept`), '1')
  assert.ok((await epochOf(redis).current()) > before)
})

test('the epoch of a server whose clock is behind is greater than the one before', async () => {
  const future = Date.now() + 3_600_000
  await redis.hset(`${prefix}:epoch`, { runId: 'another', epoch: future })
  assert.is(await epochOf(redis).current(), future + 1)
})

test('a known epoch is used again without a request, until a new connection', async () => {
  const epoch = createRedisEpoch({ redis, prefix, maxAgeMs: 60_000 })
  const before = await epoch.current()
  await redis.del(`${prefix}:epoch`)
  assert.is(await epoch.current(), before)
  const ready = new Promise((resolve) => redis.once('ready', resolve))
  redis.disconnect(true)
  await ready
  assert.ok((await epoch.current()) > before)
})

test('concurrent callers share one request', async () => {
  const epoch = epochOf(redis)
  const commandsBefore = await evalCalls()
  await Promise.all(Array.from({ length: 50 }, () => epoch.current()))
  assert.is((await evalCalls()) - commandsBefore, 1)
})

async function evalCalls(): Promise<number> {
  return Number(/cmdstat_evalsha:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)
}

test.run()
