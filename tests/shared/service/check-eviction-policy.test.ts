import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { checkEvictionPolicy } from '@millrace/shared/service/check-eviction-policy.ts'
import { connectRedis } from '@millrace/shared/service/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { suite } from '../../support/suite.ts'

const test = suite('eviction policy')
const log = createLog({ level: 'silent', instance: 'test' })
let directory: string
let server: RedisServer
let api: ApiInstances

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-policy-'))
  server = await startRedisServer({ directory })
  api = await startApiInstances({ redisUrl: server.url })
})
test.before.each(() => setRedis('100mb', 'noeviction'))
test.after(async () => {
  await api.close()
  await server.close()
  await rm(directory, { recursive: true })
})

async function setRedis(maxmemory: string, policy: string): Promise<void> {
  await api.redis.config('SET', 'maxmemory', maxmemory)
  await api.redis.config('SET', 'maxmemory-policy', policy)
}

/** Checks a Redis. Returns the refusal, and the events of its warnings. */
async function check(redis: Redis, timeoutMs?: number) {
  const warnings: unknown[] = []
  const refusal = await checkEvictionPolicy({
    redis,
    log: { warn: (fields: object) => void warnings.push('event' in fields && fields.event) },
    ...(timeoutMs !== undefined && { timeoutMs }),
  }).catch((error: unknown) => error)
  return { refusal, warnings }
}

const accepted = { refusal: undefined, warnings: [] }
const unknown = { refusal: undefined, warnings: ['eviction-policy-unknown'] }

test('a Redis that evicts keys is refused, in words that say what to do', async () => {
  for (const policy of ['allkeys-lru', 'volatile-lru', 'volatile-ttl', 'allkeys-random']) {
    await setRedis('100mb', policy)
    const { refusal } = await check(api.redis)
    assert.instance(refusal, Error)
    assert.match(String(refusal), new RegExp(`"${policy}".*Set maxmemory-policy to noeviction`))
  }
})

test('noeviction is accepted, and any policy without a memory limit', async () => {
  assert.equal(await check(api.redis), accepted)
  await setRedis('0', 'allkeys-lru')
  assert.equal(await check(api.redis), accepted)
})

test('a Redis that does not allow INFO is accepted with a warning', async () => {
  await setRedis('100mb', 'allkeys-lru')
  await api.redis.acl('SETUSER', 'default', '-info')
  try {
    assert.equal(await check(api.redis), unknown)
  } finally {
    await api.redis.acl('SETUSER', 'default', '+info')
  }
})

test('a Redis that cannot be reached, or does not answer, is accepted with a warning', async () => {
  const silentServer = createServer().listen(0, '127.0.0.1')
  await once(silentServer, 'listening')
  const address = silentServer.address()
  assert.ok(address && typeof address === 'object')
  const silent = connectRedis(`redis://127.0.0.1:${address.port}`, log)
  const unreachable = connectRedis('redis://127.0.0.1:1', log)
  try {
    assert.equal(await check(silent, 100), unknown)
    assert.equal(await check(unreachable), unknown)
  } finally {
    silent.disconnect()
    unreachable.disconnect()
    silentServer.close()
  }
})

for (const service of ['api', 'worker']) {
  test(`the ${service} does not start with a Redis that evicts keys, and says why`, async () => {
    await setRedis('100mb', 'allkeys-lru')
    const entry = fileURLToPath(import.meta.resolve(`@millrace/${service}/main.ts`))
    const child = spawn(process.execPath, [entry], {
      env: { ...process.env, ...api.environment, REDIS_URL: server.url, LOG_LEVEL: 'info', PORT: '0' },
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'close')])
    assert.is(code, 1)
    assert.match(output, /"event":"start-failed"/)
    assert.match(output, /Set maxmemory-policy to noeviction/)
    assert.not.match(output, /"event":"(listening|started)"/)
  })
}

test.run()
