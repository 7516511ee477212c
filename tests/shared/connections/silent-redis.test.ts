import { randomUUID } from 'node:crypto'
import {
  connectBlockingRedis,
  connectRedis,
  connectSubscriberRedis,
} from '@millrace/shared/connections/connections.ts'
import { isOutage } from '@millrace/shared/connections/outage.ts'
import { createSubscriber } from '@millrace/shared/connections/subscriber.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { Queue, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { withManualTimeouts } from '../../support/manual-timeouts.ts'
import { suite } from '../../support/suite.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts'
import { until } from '../../support/until.ts'

const test = suite('silent Redis')
const url = process.env['REDIS_URL'] ?? ''
const log = createLog({ level: 'silent', instance: 'test' })
let proxy: TcpProxy
let timeouts: ReturnType<typeof withManualTimeouts> | undefined
let clients: Redis[]

test.before.each(async () => {
  proxy = await startTcpProxy(Number(new URL(url).port))
  clients = []
})
test.after.each(() => {
  timeouts?.restore()
  for (const client of clients) client.disconnect()
  proxy.close()
})

/** Opens a connection through the proxy. Its timers of `delayMs` end when the test says so. */
function open(connect: () => Redis, delayMs: number) {
  timeouts = withManualTimeouts(delayMs)
  const redis = connect()
  redis.options.retryStrategy = () => 1
  redis.on('error', () => undefined)
  clients.push(redis)
  return { redis, timeouts }
}

const next = (redis: Redis, event: 'connect' | 'ready' | 'close') =>
  new Promise<void>((resolve) => redis.once(event, () => resolve()))

const ways: [name: string, delayMs: number, connect: () => Redis][] = [
  ['for commands', 10_000, () => connectRedis(proxy.url, log)],
  ['of a queue', 10_000, () => noteOriginal(connectRedis(proxy.url, log)).duplicate()],
  ['of a worker', 20_000, () => connectBlockingRedis(proxy.url, log)],
  [
    'of a worker that waits for jobs',
    20_000,
    () => noteOriginal(connectBlockingRedis(proxy.url, log)).duplicate(),
  ],
  ['of subscribers', 10_000, () => connectSubscriberRedis(proxy.url, log)],
]

function noteOriginal(redis: Redis): Redis {
  clients.push(redis)
  return redis
}

for (const [name, delayMs, connect] of ways) {
  test(`a connection ${name} whose handshake is not answered for ${delayMs / 1000} s is opened again`, async () => {
    proxy.silenceNext(2)
    const { redis, timeouts } = open(connect, delayMs)
    await next(redis, 'connect')
    assert.ok(timeouts.waiting() > 0)
    const reconnected = next(redis, 'ready')
    timeouts.end()
    await next(redis, 'connect')
    timeouts.end()
    await reconnected
  })
}

for (const [name, delayMs, connect] of ways.slice(0, 4)) {
  test(`a command on a connection ${name} whose host is silent for ${delayMs / 1000} s is sent again`, async () => {
    const { redis, timeouts } = open(connect, delayMs)
    await Promise.all(clients.map((client) => client.ping()))
    assert.is(timeouts.waiting(), 0, 'a connection that waits for no answer may be silent')
    proxy.silence()
    const answer = redis.echo('again')
    assert.is(timeouts.waiting(), 1)
    timeouts.end()
    assert.is(await answer, 'again')
  })
}

test('a subscription whose confirmation is not received for 10 s is asked for again', async () => {
  const { redis, timeouts } = open(() => connectSubscriberRedis(proxy.url, log), 10_000)
  const subscriber = createSubscriber({ redis, log })
  await subscriber.subscribe('first', () => undefined).confirmed()
  proxy.silence()
  const second = subscriber.subscribe('second', () => undefined)
  assert.is(timeouts.waiting(), 1)
  timeouts.end()
  await second.confirmed()
  assert.is(proxy.accepted(), 2)
})

test('while Redis accepts connections and answers none, commands that it had received are rejected like later ones', async () => {
  const { redis, timeouts } = open(() => connectRedis(proxy.url, log), 10_000)
  await redis.ping()
  const duplicate = redis.duplicate()
  clients.push(duplicate.on('error', () => undefined))
  await duplicate.ping()
  proxy.silence()
  proxy.silenceNext(Number.POSITIVE_INFINITY)
  const errors: unknown[] = []
  const commands = [redis, duplicate].flatMap((client) => [client.get('a'), client.get('b')])
  const rejected = Promise.all(
    commands.map((command) => command.catch((error: unknown) => errors.push(error))),
  )
  for (const client of [redis, duplicate]) client.on('connect', timeouts.end)
  timeouts.end()
  await rejected
  assert.is(errors.length, 4)
  for (const error of errors) assert.ok(isOutage(error), String(error))
})

test('commands that Redis had received are rejected when their connection is closed before it was ready again', async () => {
  const { redis, timeouts } = open(() => connectBlockingRedis(proxy.url, log), 20_000)
  await redis.ping()
  proxy.silence()
  proxy.silenceNext(1)
  const command = redis.get('a').catch((error: unknown) => error)
  timeouts.end()
  await next(redis, 'connect')
  redis.disconnect()
  assert.ok(isOutage(await command))
})

test('a worker whose host went silent takes the next job over new connections', async () => {
  const prefix = `test-${randomUUID()}`
  const { redis, timeouts } = open(() => connectBlockingRedis(proxy.url, log), 20_000)
  const producer = noteOriginal(connectRedis(url, log))
  const queue = new Queue('silent', { connection: producer, prefix })
  const done = Promise.withResolvers<void>()
  const worker = new Worker(
    'silent',
    async ({ name }) => {
      if (name === 'second') done.resolve()
    },
    { connection: redis, prefix },
  )
  worker.on('error', () => undefined)
  try {
    const idle = new Promise<void>((resolve) => worker.once('drained', resolve))
    await queue.add('first', {})
    await idle
    const blocked = new RegExp(`name=${prefix}:.* cmd=bzpopmin `)
    const isBlocked = async () => blocked.test(String(await producer.client('LIST')))
    await until(isBlocked)
    proxy.silence()
    // Otherwise the connection that has gone would take the message of the next job.
    await until(async () => !(await isBlocked()))
    await queue.add('second', {})
    let isDone = false
    void done.promise.then(() => {
      isDone = true
    })
    // First the one that waits for jobs, then the one for commands. A new one has a second for its handshake.
    let endedAtMs = 0
    await until(async () => {
      if (performance.now() - endedAtMs > 1_000) {
        endedAtMs = performance.now()
        timeouts.end()
      }
      return isDone
    })
  } finally {
    await worker.close()
    await queue.obliterate({ force: true })
    await queue.close()
  }
})

test.run()
