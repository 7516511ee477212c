import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createRedisMemory, readRedisMemory } from '@millrace/shared/connections/redis-memory.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('Redis memory')
const log = createLog({ level: 'silent', instance: 'test' })
let directory: string
let server: RedisServer
let redis: Redis

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-memory-'))
  server = await startRedisServer({ directory })
  redis = connectRedis(server.url, log)
})
test.before.each(async () => {
  await redis.config('SET', 'maxmemory', '0')
  await redis.config('RESETSTAT')
})
test.after(async () => {
  redis.disconnect()
  await server.close()
  await rm(directory, { recursive: true })
})

/** Returns how often INFO was called since the statistics were reset. */
async function infoCalls(): Promise<number> {
  return Number(/cmdstat_info:calls=(\d+)/.exec(await redis.info('commandstats'))?.[1] ?? 0)
}

test('the used share is that of maxmemory, and 0 without a limit', async () => {
  const memory = createRedisMemory({ redis, maxAgeMs: 0 })
  assert.is(await memory.usedShare(), 0)
  await redis.config('SET', 'maxmemory', String(1024 ** 3))
  const low = await memory.usedShare()
  assert.ok(low > 0 && low < 0.1, String(low))
  await redis.config('SET', 'maxmemory', '1')
  assert.ok((await memory.usedShare()) > 1)
})

test('memory that Redis does not count towards its limit is not used', async () => {
  const answer = 'used_memory:900\r\nmem_not_counted_for_evict:400\r\nmaxmemory:1000\r\n'
  const fake = Object.assign(Object.create(redis), { info: async () => answer })
  assert.equal(await readRedisMemory(fake), { usedShare: 0.5, maxBytes: 1000, evictionPolicy: undefined })
})

test('callers at the same time and within the age of an answer share one INFO', async () => {
  const memory = createRedisMemory({ redis, maxAgeMs: 3_600_000 })
  await Promise.all([memory.usedShare(), memory.usedShare()])
  await memory.usedShare()
  assert.is(await infoCalls(), 1)
})

test('an answer that is too old is replaced', async () => {
  const memory = createRedisMemory({ redis, maxAgeMs: 0 })
  await memory.usedShare()
  await memory.usedShare()
  assert.is(await infoCalls(), 2)
})

test('the share is 0 if Redis does not answer', async () => {
  const closed = connectRedis(server.url, log)
  closed.disconnect()
  assert.is(await createRedisMemory({ redis: closed }).usedShare(), 0)
})

test.run()
