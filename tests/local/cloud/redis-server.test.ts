import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { existsSync, watch } from 'node:fs'
import { chmod, mkdtemp, readFile, realpath, rm, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { checkRedis } from '@millrace/local/cloud/check-redis.ts'
import { startRedisServer } from '@millrace/local/cloud/redis-server.ts'
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
const checkResult = (url: string) =>
  checkRedis(url, { prefix: 'test', print: () => {} }).then(
    () => 'accepted',
    (error) => `${error.name}: ${error.message}`,
  )

test('Redis data survives a restart, and no process remains', async () => {
  const first = await startRedisServer({ directory })
  const client = new Redis(first.url)
  await client.set('key', 'value')
  client.disconnect()
  await first.close()
  assert.equal(processesHere(), [])
  // Redis deletes its pid file only on an orderly shutdown.
  assert.not(existsSync(join(directory, 'redis.pid')))

  const second = await startRedisServer({ directory })
  const again = new Redis(second.url)
  assert.is(await again.get('key'), 'value')
  again.disconnect()
  await second.close()
})

test('a stopped Redis server continues when it is closed, and shuts down in order', async () => {
  const server = await startRedisServer({ directory })
  process.kill(Number(await readFile(join(directory, 'redis.pid'), 'utf8')), 'SIGSTOP')
  await server.close()
  assert.equal(processesHere(), [])
  assert.not(existsSync(join(directory, 'redis.pid')))
})

test('Redis never evicts, flushes its append-only file every second and listens on loopback only', async () => {
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

test('Redis requires the password, which no command line and no file for other users contains', async () => {
  const password = randomBytes(30).toString('base64url')
  const open = await startRedisServer({ directory })
  await open.close()
  await chmod(join(directory, 'redis.conf'), 0o644)
  const server = await startRedisServer({ directory, password })
  assert.not(listProcesses().some(({ command }) => command.includes(password)))
  assert.is((await stat(join(directory, 'redis.conf'))).mode & 0o777, 0o600)
  const client = new Redis(server.url)
  assert.is(await client.set('key', 'value'), 'OK')
  client.disconnect()
  assert.match(await checkResult(`redis://127.0.0.1:${server.port}`), 'needs a password')
  assert.match(
    await checkResult(`redis://:wrong@127.0.0.1:${server.port}`),
    'StartError: The Redis server of REDIS_URL (127.0.0.1:',
  )
  assert.match(
    await checkResult(`redis://:wrong@127.0.0.1:${server.port}`),
    'refuses the user or the password in REDIS_URL',
  )
  await server.close()
})

test('a data directory may have spaces, quotes and other letters in its path', async () => {
  const server = await startRedisServer({ directory: join(directory, 'a "b" \\ ü #c') })
  assert.is(await checkResult(server.url), 'accepted')
  await server.close()
})

test('`ended` resolves when the Redis server is killed', async () => {
  const server = await startRedisServer({ directory })
  const pid = Number(await readFile(join(directory, 'redis.pid'), 'utf8'))
  process.kill(pid, 'SIGKILL')
  await server.ended
  assert.equal(processesHere(), [])
})

test('a new start stops the Redis server of an earlier run that was killed', async () => {
  const left = await startRedisServer({ directory })
  const pid = Number(await readFile(join(directory, 'redis.pid'), 'utf8'))
  const next = await startRedisServer({ directory })
  await left.ended
  assert.not(listProcesses().some((process) => process.pid === pid))
  assert.is(await checkResult(next.url), 'accepted')
  await next.close()
})

test('a new start lets a stopped Redis server of an earlier run shut down in order', async () => {
  const left = await startRedisServer({ directory })
  process.kill(Number(await readFile(join(directory, 'redis.pid'), 'utf8')), 'SIGSTOP')
  // 'rename' reports that a file was created or deleted. A killed server leaves its pid file, and the next server
  // only overwrites it.
  const renamed: (string | null)[] = []
  const watcher = watch(directory, (event, name) => event === 'rename' && renamed.push(name))
  const next = await startRedisServer({ directory })
  watcher.close()
  await left.ended
  assert.ok(renamed.includes('redis.pid'))
  await next.close()
})

test('Redis exits when its parent process is killed', async () => {
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
  assert.match(await checkResult(url ?? ''), 'ECONNREFUSED')
})

test('an error says why Redis does not start', async () => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  const address = taken.address()
  assert.ok(address && typeof address === 'object')
  const error = await startRedisServer({ directory, port: address.port }).catch((reason) => reason)
  assert.is(error.name, 'StartError')
  assert.match(error.message, `Redis did not start on port ${address.port}: it exited (`)
  assert.match(error.message, /Address already in use|Failed listening on port/)
  assert.not.match(error.message, '\n')
  taken.close()
})

test.run()
