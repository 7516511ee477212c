import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { checkEvictionPolicy } from '@millrace/shared/connections/check-eviction-policy.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { processEnvironment } from '../../support/process-environment.ts'
import { suite } from '../../support/suite.ts'

const test = suite('eviction policy')
const log = createLog({ level: 'silent', instance: 'test' })
let directory: string
let server: RedisServer
let redis: Redis

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-policy-'))
  server = await startRedisServer({ directory })
  redis = connectRedis(server.url, log)
})
test.before.each(() => setRedis('100mb', 'noeviction'))
test.after(async () => {
  redis.disconnect()
  await server.close()
  await rm(directory, { recursive: true })
})

async function setRedis(maxmemory: string, policy: string): Promise<void> {
  await redis.config('SET', 'maxmemory', maxmemory)
  await redis.config('SET', 'maxmemory-policy', policy)
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
    const { refusal } = await check(redis)
    assert.instance(refusal, Error)
    assert.match(String(refusal), new RegExp(`"${policy}".*Set maxmemory-policy to noeviction`))
  }
})

test('noeviction is accepted, and any policy without a memory limit', async () => {
  assert.equal(await check(redis), accepted)
  await setRedis('0', 'allkeys-lru')
  assert.equal(await check(redis), accepted)
})

test('a Redis that does not allow INFO is accepted with a warning', async () => {
  await setRedis('100mb', 'allkeys-lru')
  await redis.acl('SETUSER', 'default', '-info')
  try {
    assert.equal(await check(redis), unknown)
  } finally {
    await redis.acl('SETUSER', 'default', '+info')
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

/** The settings of a service that reaches Redis only: S3 and SQS refuse connections, and neither is waited for at a start. */
const settings = () => ({
  AWS_REGION: 'eu-central-1',
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:1',
  AWS_ENDPOINT_URL_SQS: 'http://127.0.0.1:1',
  BUCKET: 'bucket',
  EVENTS_QUEUE_URL: 'http://127.0.0.1:1/queue',
  REDIS_URL: server.url,
  PUBLIC_ORIGIN: 'http://localhost:3000',
  SESSION_KEYS: randomBytes(32).toString('base64'),
  LOG_LEVEL: 'info',
  PORT: '0',
})

for (const service of ['api', 'worker']) {
  test(`the ${service} does not start with a Redis that evicts keys, and says why`, async () => {
    await setRedis('100mb', 'allkeys-lru')
    const entry = fileURLToPath(import.meta.resolve(`@millrace/${service}/main.ts`))
    const child = spawn(process.execPath, [entry], {
      env: { ...processEnvironment(), ...settings() },
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
