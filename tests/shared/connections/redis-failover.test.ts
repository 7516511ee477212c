import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type RedisServer, startRedisServer } from '@millrace/local/cloud/redis-server.ts'
import {
  connectBlockingRedis,
  connectRedis,
  reconnectTogether,
} from '@millrace/shared/connections/connections.ts'
import { isOutage } from '@millrace/shared/connections/outage.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { openSubscriber } from '../../support/open-subscriber.ts'
import { suite } from '../../support/suite.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts'

const test = suite('Redis failover')
const log = createLog({ level: 'silent', instance: 'test' })
const key = 'test'

let directory: string
let servers: RedisServer[]
/** Connections to both servers, past the proxy. */
let old: Redis
let next: Redis
let nextPort: number
let proxy: TcpProxy
let clients: Redis[]

test.before.each(async () => {
  directory = await mkdtemp(join(tmpdir(), 'millrace-failover-'))
  const start = (name: string) => startRedisServer({ directory: join(directory, name) })
  const [oldServer, nextServer] = await Promise.all([start('old'), start('next')])
  servers = [oldServer, nextServer]
  old = new Redis(oldServer.url)
  next = new Redis(nextServer.url)
  nextPort = nextServer.port
  proxy = await startTcpProxy(oldServer.port)
  clients = []
})
test.after.each(async () => {
  for (const client of [...clients, old, next]) client.disconnect()
  proxy.close()
  for (const server of servers) await server.close()
  await rm(directory, { recursive: true })
})

async function ready(client: Redis): Promise<Redis> {
  clients.push(client)
  await client.ping()
  return client
}

/** Makes the old server a replica that has lost its primary. It keeps its connections. */
const demote = () => old.replicaof('127.0.0.1', 1)

const untilReady = (client: Redis) => new Promise<void>((resolve) => client.once('ready', () => resolve()))

const ways: [name: string, connect: () => Redis][] = [
  ['connectRedis', () => connectRedis(proxy.url, log)],
  ['connectBlockingRedis', () => connectBlockingRedis(proxy.url, log)],
  ['a duplicate', () => connectRedis(proxy.url, log).on('ready', noteOriginal).duplicate()],
]

/** Originals of duplicates are closed with the others. */
function noteOriginal(this: Redis): void {
  clients.push(this)
}

for (const [name, connect] of ways) {
  test(`a connection of ${name} leaves a demoted primary for the new one`, async () => {
    const client = await ready(connect())
    await demote()
    proxy.moveTo(nextPort)
    const reconnected = untilReady(client)
    const error = await client.set(key, 'refused').catch((thrown: unknown) => thrown)
    assert.ok(isOutage(error), String(error))
    await reconnected
    await client.set(key, 'accepted')
    assert.is(await next.get(key), 'accepted')
  })
}

test('scripts, pipelines and transactions on a demoted primary are outages, and leave it', async () => {
  const client = await ready(connectRedis(proxy.url, log))
  const writes: (() => Promise<unknown>)[] = [
    () => client.eval("return redis.call('SET', KEYS[1], 1)", 1, key),
    () => client.multi().set(key, 1).set(key, 2).exec(),
    async () => {
      const results = await client.pipeline().get(key).set(key, 1).set(key, 2).exec()
      const errors = (results ?? []).flatMap(([error]) => error ?? [])
      assert.is(errors.length, 2)
      for (const error of errors) assert.ok(isOutage(error), String(error))
      throw errors[0]
    },
  ]
  await demote()
  for (const write of writes) {
    const error = await write().catch((thrown: unknown) => thrown)
    assert.ok(isOutage(error), String(error))
  }
  assert.ok(proxy.accepted() > 1)
})

test('while its server stays read-only, a connection rejects each write and reconnects at most once a second', async () => {
  const client = await ready(connectRedis(proxy.url, log))
  await demote()
  const startedAtMs = performance.now()
  const acceptedBefore = proxy.accepted()
  for (let writes = 0; writes < 200; writes++) {
    const error = await client.set(key, 1).catch((thrown: unknown) => thrown)
    assert.ok(isOutage(error), String(error))
  }
  const seconds = Math.floor((performance.now() - startedAtMs) / 1000)
  const reconnections = proxy.accepted() - acceptedBefore
  assert.ok(reconnections >= 1 && reconnections <= seconds + 1, `${reconnections} in ${seconds} s`)
})

test('each connection reconnects on its own, duplicates as well', async () => {
  const client = await ready(connectRedis(proxy.url, log))
  const duplicate = await ready(client.duplicate())
  await demote()
  proxy.moveTo(nextPort)
  await Promise.all(
    [client, duplicate].map(async (redis) => {
      const reconnected = untilReady(redis)
      await redis.set(key, 1).catch(() => undefined)
      await reconnected
    }),
  )
})

test('a full Redis keeps its connections', async () => {
  const client = await ready(connectRedis(proxy.url, log))
  await old.config('SET', 'maxmemory', '1')
  const error = await client.set(key, 1).catch((thrown: unknown) => thrown)
  assert.ok(isOutage(error), String(error))
  await client.get(key)
  assert.is(proxy.accepted(), 1)
})

test('a subscriber follows the connection for commands to the new primary', async () => {
  const client = await ready(connectRedis(proxy.url, log))
  const subscriber = openSubscriber(proxy.url)
  await ready(subscriber.redis)
  reconnectTogether(subscriber.redis, client)
  const received = Promise.withResolvers<string>()
  await subscriber.subscribe('channel', received.resolve).confirmed()
  await demote()
  proxy.moveTo(nextPort)
  const reconnected = Promise.withResolvers<void>()
  subscriber.onReconnected(reconnected.resolve)
  await client.set(key, 1).catch(() => undefined)
  await reconnected.promise
  assert.is(await next.publish('channel', 'message'), 1)
  assert.is(await received.promise, 'message')
})

test.run()
