import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { checkRedis, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { listProcesses } from '../../support/process-list.ts'
import { suite } from '../../support/suite.ts'

const test = suite('redis server')
let directory: string

test.before.each(async () => {
  directory = await realpath(await mkdtemp(join(tmpdir(), 'millrace-redis-')))
})

test.after.each(() => rm(directory, { recursive: true }))

const processesHere = () => listProcesses().filter(({ command }) => command.includes(directory))
const refusal = (url: string) =>
  checkRedis(url).then(
    () => 'accepted',
    (error) => `${error.name}: ${error.message}`,
  )

test('keeps its data over a restart, and leaves no process', async () => {
  const first = await startRedisServer({ directory })
  const client = new Redis(first.url)
  await client.set('kept', 'yes')
  client.disconnect()
  await first.close()
  assert.equal(processesHere(), [])
  // Redis takes its process id back only when it shuts down in order.
  assert.not(existsSync(join(directory, 'redis.pid')))

  const second = await startRedisServer({ directory })
  const again = new Redis(second.url)
  assert.is(await again.get('kept'), 'yes')
  again.disconnect()
  await second.close()
})

test('never evicts, appends every second and listens on loopback only', async () => {
  const server = await startRedisServer({ directory })
  const client = new Redis(server.url)
  const settings = async (name: string) => ((await client.config('GET', name)) as string[])[1]
  assert.is(await settings('maxmemory-policy'), 'noeviction')
  assert.is(await settings('appendonly'), 'yes')
  assert.is(await settings('appendfsync'), 'everysec')
  assert.is(await settings('bind'), '127.0.0.1')
  assert.is(await settings('save'), '')
  client.disconnect()
  await server.close()
})

test('says so when the server is gone', async () => {
  const server = await startRedisServer({ directory })
  const pid = Number(await readFile(join(directory, 'redis.pid'), 'utf8'))
  process.kill(pid, 'SIGKILL')
  await server.ended
  assert.equal(processesHere(), [])
})

test('stops the server that a killed run has left', async () => {
  const left = await startRedisServer({ directory })
  const pid = Number(await readFile(join(directory, 'redis.pid'), 'utf8'))
  const next = await startRedisServer({ directory })
  await left.ended
  assert.not(listProcesses().some((process) => process.pid === pid))
  await checkRedis(next.url)
  await next.close()
})

test('ends when the process that started it is killed', async () => {
  const module = new URL('../../../packages/local/src/cloud/redis-server.ts', import.meta.url).href
  const script = `
    import { startRedisServer } from ${JSON.stringify(module)}
    const server = await startRedisServer({ directory: ${JSON.stringify(directory)} })
    process.stdout.write(server.url + '\\n')
    setInterval(() => {}, 60_000)`
  const starter = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [url]: string[] = await once(createInterface({ input: starter.stdout }), 'line')
  const client = new Redis(url ?? '', { retryStrategy: () => null })
  await once(client, 'ready')
  const gone = once(client, 'end')
  starter.kill('SIGKILL')
  await gone
  assert.match(await refusal(url ?? ''), 'ECONNREFUSED')
})

test('says in one sentence why it does not start', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  assert.ok(address && typeof address === 'object')
  const error = await startRedisServer({ directory, port: address.port }).catch((reason) => reason)
  assert.is(error.name, 'StartError')
  assert.match(error.message, `Redis did not start on port ${address.port}: it ended.`)
  assert.match(error.message, 'Address already in use')
  taken.close()
})

test('accepts a REDIS_URL that answers', async () => {
  const server = await startRedisServer({ directory })
  assert.is(await refusal(server.url), 'accepted')
  await server.close()
})

test('refuses a REDIS_URL where nothing listens, without its password', async () => {
  const message = await refusal('redis://user:secret@127.0.0.1:1')
  assert.match(
    message,
    /^StartError: The Redis of REDIS_URL \(127\.0\.0\.1:1\) does not answer: .*ECONNREFUSED/,
  )
  assert.not.match(message, 'secret')
})

test('refuses a REDIS_URL that takes connections but never answers', async () => {
  const connections: Socket[] = []
  const mute = createServer((socket) => connections.push(socket)).listen(0, '127.0.0.1')
  await once(mute, 'listening')
  const address = mute.address()
  assert.ok(address && typeof address === 'object')
  const startedAt = performance.now()
  assert.match(await refusal(`redis://127.0.0.1:${address.port}`), 'does not answer')
  assert.ok(performance.now() - startedAt < 8_000)
  for (const connection of connections) connection.destroy()
  mute.close()
})

test('refuses a REDIS_URL that wants another password', async () => {
  const server = await startRedisServer({ directory })
  const client = new Redis(server.url)
  await client.config('SET', 'requirepass', 'right')
  client.disconnect()
  const message = await refusal(server.url.replace('redis://', 'redis://:wrong@'))
  assert.match(message, 'StartError')
  assert.not.match(message, /wrong@|:wrong/)
  await server.close()
})

test('refuses a REDIS_URL that is none', async () => {
  for (const url of ['nonsense', 'http://127.0.0.1:6379', '127.0.0.1:6379']) {
    assert.match(await refusal(url), 'REDIS_URL is not a Redis URL')
  }
})

test.run()
