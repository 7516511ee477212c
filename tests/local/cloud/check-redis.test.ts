import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checkRedis } from '@millrace/local/cloud/check-redis.ts'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('check redis')
let directory: string
let server: RedisServer
let admin: Redis

test.before(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-check-redis-'))
  server = await startRedisServer({ directory, password: 'right' })
  admin = new Redis(server.url)
})

test.after(async () => {
  admin.disconnect()
  await server.close()
  await rm(directory, { recursive: true })
})

/** Returns the sentence with which the check fails. Asserts that it is one, of the kind that is printed without a stack. */
async function problemOf(url: string): Promise<string> {
  const error = await checkRedis(url, { prefix: 'test', print: () => {} }).then(
    () => undefined,
    (reason) => reason,
  )
  if (error === undefined) return ''
  assert.is(error.name, 'StartError')
  assert.not.match(error.message, '\n')
  return error.message
}

async function listen(fake: Server): Promise<string> {
  await once(fake.listen(0, '127.0.0.1'), 'listening')
  const address = fake.address()
  assert.ok(address && typeof address === 'object')
  return `redis://127.0.0.1:${address.port}`
}

test('a Redis server that is as it should be is accepted', async () => {
  assert.is(await problemOf(server.url), '')
})

test('an address without a server is named without the password', async () => {
  const problem = await problemOf('redis://user:secret@127.0.0.1:1')
  assert.match(
    problem,
    /^The Redis server of REDIS_URL \(127\.0\.0\.1:1\) does not respond: connect ECONNREFUSED 127\.0\.0\.1:1\. Start it,/,
  )
  assert.not.match(problem, 'secret')
})

test('a server that accepts connections but never responds is refused', async () => {
  const connections: Socket[] = []
  const silent = createServer((socket) => connections.push(socket))
  assert.match(await problemOf(await listen(silent)), 'does not respond')
  for (const connection of connections) connection.destroy()
  silent.close()
})

test('a missing and a wrong password are told apart, and not shown', async () => {
  assert.match(await problemOf(`redis://127.0.0.1:${server.port}`), 'needs a password: write REDIS_URL as')
  const problem = await problemOf(`redis://:guess@127.0.0.1:${server.port}`)
  assert.match(problem, 'refuses the user or the password in REDIS_URL')
  assert.not.match(problem, 'guess')
})

test('a value that is not a Redis URL is refused', async () => {
  for (const url of ['nonsense', 'http://127.0.0.1:6379', '127.0.0.1:6379']) {
    assert.match(await problemOf(url), 'REDIS_URL is not a Redis URL')
  }
})

test('a Redis that deletes keys when it is full is refused', async () => {
  await admin.config('SET', 'maxmemory', '100mb')
  await admin.config('SET', 'maxmemory-policy', 'allkeys-lru')
  assert.match(await problemOf(server.url), 'its maxmemory-policy is "allkeys-lru"')
  await admin.config('SET', 'maxmemory-policy', 'noeviction')
})

test('a replica is refused', async () => {
  await admin.call('REPLICAOF', '127.0.0.1', '1')
  await admin.config('SET', 'replica-serve-stale-data', 'yes')
  assert.match(await problemOf(server.url), 'is a replica, which refuses writes: name its primary')
  await admin.call('REPLICAOF', 'NO', 'ONE')
})

test('a Redis that is too old is refused with its version', async () => {
  const info = '# Server\r\nredis_version:5.0.14\r\n'
  const connections: Socket[] = []
  const old = createServer((socket) => {
    connections.push(socket)
    socket.on('data', (bytes) => {
      // One reply for each command, which begins with the number of its words.
      for (const command of `${bytes}`.split(/(?=\*\d+\r\n)/)) {
        socket.write(/info/i.test(command) ? `$${info.length}\r\n${info}\r\n` : '+OK\r\n')
      }
    })
  })
  assert.match(await problemOf(await listen(old)), 'has version 5.0.14: at least 6.2 is required.')
  for (const connection of connections) connection.destroy()
  old.close()
})

test.run()
