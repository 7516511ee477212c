import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { exitCodeOf } from '@millrace/local/doctor/finding.ts'
import { redisChecks } from '@millrace/local/doctor/redis-checks.ts'
import { runChecks } from '@millrace/local/doctor/run-checks.ts'
import { createHeartbeats } from '@millrace/shared/fleet/heartbeats.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { limitRedisMemory } from '../../support/limit-redis-memory.ts'
import { suite } from '../../support/suite.ts'

const test = suite('doctor: Redis')
let directory: string
let server: Awaited<ReturnType<typeof startRedisServer>>
let redis: Redis

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-doctor-'))
  server = await startRedisServer({ directory })
  redis = new Redis(server.url)
})
test.after(async () => {
  redis?.disconnect()
  await server?.close()
  await rm(directory, { recursive: true })
})

/** Returns the findings of one check, a line for each. @param client answers in the place of the server */
async function findings(name: string, options: { url?: string; client?: Redis } = {}): Promise<string[]> {
  const { url = server.url, client = redis } = options
  const checks = redisChecks({ redis: client, url, prefix: 'doctor-test' })
  const found = await runChecks(
    checks.filter((check) => check.name === name),
    () => undefined,
  )
  return found.map(({ severity, text }) => `${severity}: ${text}`)
}

test('a Redis in order', async () => {
  const lines = [...(await findings('redis')), ...(await findings('redis-clock'))]
  assert.match(lines[0] ?? '', /^ok: (Redis|Valkey) .* is new enough\.$/)
  assert.equal(lines.slice(1), [
    'ok: Redis accepts writes.',
    'note: Redis runs on this machine, without TLS.',
    "ok: This machine's clock agrees with that of Redis.",
  ])
  assert.equal(await findings('redis-memory'), ['ok: Redis has no memory limit and deletes nothing.'])
})

test('a Redis that is full, or deletes keys when it is', async () => {
  await limitRedisMemory(redis, 0.85)
  assert.match((await findings('redis-memory'))[0] ?? '', /^warning: Redis is 8\d % full\.$/)
  await limitRedisMemory(redis, 0.99)
  assert.match((await findings('redis-memory'))[0] ?? '', /^error: Redis is \d+ % full: writes fail soon\.$/)
  await redis.config('SET', 'maxmemory-policy', 'allkeys-lru')
  await redis.config('SET', 'maxmemory', 1024 ** 3)
  assert.equal(await findings('redis-memory'), [
    'error: Redis deletes keys when it is full (maxmemory-policy allkeys-lru): jobs and erasures would be lost.',
  ])
  await redis.config('SET', 'maxmemory-policy', 'noeviction')
  await redis.config('SET', 'maxmemory', 0)
})

test('a replica, an old version, and a connection without TLS', async () => {
  await redis.replicaof('127.0.0.1', 1)
  assert.ok((await findings('redis')).includes('error: REDIS_URL leads to a replica, which refuses writes.'))
  await redis.replicaof('NO', 'ONE')

  const old = new Redis(server.url)
  const info = old.info.bind(old)
  Object.defineProperty(old, 'info', {
    value: async (section: string) =>
      (await info(section)).replace(/(redis|valkey)_version:\S+/, 'redis_version:6.0.16'),
  })
  assert.equal(
    (await findings('redis', { client: old }))[0],
    'error: Redis 6.0.16 is too old: BullMQ needs 6.2.',
  )
  old.disconnect()

  assert.match(
    (await findings('redis', { url: 'redis://redis.example:6379' }))[2] ?? '',
    /^warning: The connection to Redis at redis\.example is not encrypted, and has no password/,
  )
  assert.match(
    (await findings('redis', { url: 'rediss://:p@redis.example' }))[2] ?? '',
    /^ok: .* is encrypted\.$/,
  )
})

test('no instance and no worker', async () => {
  assert.equal(await findings('instances'), [
    'error: No API instance is running.',
    'error: No worker is running.',
  ])
})

test('instances count by tier, and only those that take work', async () => {
  const heartbeats = createHeartbeats({ redis, prefix: 'doctor-test' })
  const said = {
    since: new Date().toISOString(),
    version: '0',
    cpuPercent: 0,
    rssBytes: 0,
    slots: 1,
    busy: 0,
  }
  const tell = (id: string, tier: 'api' | 'worker', state: 'serving' | 'draining') =>
    heartbeats.publish({ ...said, perSecond: 0, latency: [], id, tier, state })
  await tell('api-1', 'api', 'serving')
  await tell('worker-1', 'worker', 'draining')
  assert.equal(await findings('instances'), ['ok: 1 API instance running.', 'error: No worker is running.'])
  await tell('worker-2', 'worker', 'serving')
  await tell('worker-3', 'worker', 'serving')
  assert.equal(await findings('instances'), ['ok: 1 API instance running.', 'ok: 2 workers running.'])
})

test('a Redis that does not answer', async () => {
  const gone = new Redis('redis://127.0.0.1:1', { maxRetriesPerRequest: 0, retryStrategy: () => null })
  gone.on('error', () => undefined)
  const lines = await findings('redis', { client: gone })
  assert.match(lines.join('\n'), /^error: This could not be checked: redis \(/)
  gone.disconnect()
})

test('the exit code tells the worst finding', () => {
  const of = (...severities: ('ok' | 'note' | 'skipped' | 'warning' | 'error')[]) =>
    exitCodeOf(severities.map((severity) => ({ severity, text: '' })))
  assert.equal([of(), of('ok', 'note', 'skipped'), of('ok', 'warning'), of('error', 'warning')], [0, 0, 1, 2])
})

test.run()
