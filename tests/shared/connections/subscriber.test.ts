import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createServer as createTcpServer, type Server } from 'node:net'
import { setImmediate } from 'node:timers/promises'
import { isOutage } from '@millrace/shared/connections/outage.ts'
import { createSubscriber } from '@millrace/shared/connections/subscriber.ts'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { type OpenSubscriber, openSubscriber } from '../../support/open-subscriber.ts'
import { type SubscriptionProxy, startSubscriptionProxy } from '../../support/subscription-proxy.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('subscriber')
const url = process.env['REDIS_URL'] ?? ''
let publisher: Redis
let proxy: SubscriptionProxy
let subscriber: OpenSubscriber
let prefix: string

test.before(async () => {
  publisher = new Redis(url)
  proxy = await startSubscriptionProxy(Number(new URL(url).port))
})
test.before.each(() => open())
test.after.each(() => {
  subscriber.disconnect()
  proxy.cutNext()
})
test.after(() => {
  publisher.disconnect()
  proxy.close()
})

function open(): void {
  prefix = `test-${randomUUID()}`
  subscriber = openSubscriber(proxy.url)
  // ioredis' own waits grow with each attempt.
  subscriber.redis.options.retryStrategy = () => 1
}

const ignore = () => undefined
const channelsOf = (count: number) => Array.from({ length: count }, (_, number) => `${prefix}:${number}`)

async function subscribersOf(channels: string[]): Promise<number[]> {
  const counts = await publisher.pubsub('NUMSUB', ...channels)
  return channels.map((channel) => Number(counts[counts.indexOf(channel) + 1]))
}

const nextReconnection = () => new Promise<void>((resolve) => subscriber.onReconnected(resolve))

/** The promise's error, as text. */
async function errorOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  )
}

test('all channels survive a connection that is lost while they are subscribed again, and once more', async () => {
  const channels = channelsOf(20)
  const heard: string[] = []
  const all = Promise.withResolvers<void>()
  const subscriptions = channels.map((channel) =>
    subscriber.subscribe(channel, () => {
      heard.push(channel)
      if (heard.length === channels.length) all.resolve()
    }),
  )
  await Promise.all(subscriptions.map((subscription) => subscription.confirmed()))
  const errors: string[] = []
  subscriber.redis.on('error', (error) => errors.push(error.message))
  let reconnections = 0
  subscriber.onReconnected(() => {
    reconnections += 1
  })
  const reconnected = nextReconnection()
  proxy.cutNext(7, 13, 0, 19)
  proxy.cut()
  await reconnected
  assert.is(proxy.confirmed(), channels.length, 'all were confirmed before the reconnection was told')
  assert.equal(await subscribersOf(channels), Array(channels.length).fill(1))
  for (const channel of channels) await publisher.publish(channel, '')
  await all.promise
  assert.equal(heard, channels)
  assert.is(reconnections, 1, 'lost connections are not told as reconnections')
  assert.equal(
    errors.filter((message) => message.includes('queue state')),
    [],
  )
})

test('the first connection is no reconnection, and the next one is, also for a subscriber that is made of a connected connection', async () => {
  let reconnections = 0
  subscriber.onReconnected(() => {
    reconnections += 1
  })
  await subscriber.subscribe(`${prefix}:a`, ignore).confirmed()
  await setImmediate()
  assert.is(reconnections, 0)
  const late = createSubscriber({ redis: subscriber.redis, log: { warn: ignore } })
  const reconnected = new Promise<void>((resolve) => late.onReconnected(resolve))
  subscriber.reconnect()
  await reconnected
})

test('listeners of a channel share its subscription, hear no other channel, and the last one ends it', async () => {
  const heard: string[] = []
  const end = Promise.withResolvers<void>()
  const channel = `${prefix}:shared`
  const hear = (name: string) => (message: string) => heard.push(`${name} ${message}`)
  const [first, second] = [hear('first'), hear('second')].map((listener) =>
    subscriber.subscribe(channel, listener),
  )
  subscriber.subscribe(`${prefix}:end`, () => end.resolve())
  await subscriber.confirmAll()
  assert.is(proxy.confirmed(), 3, 'shared, end, and that of confirmAll')
  await publisher.publish(channel, '1')
  await until(async () => heard.length === 2)
  first?.end()
  first?.end()
  await publisher.publish(channel, '2')
  await publisher.publish(`${prefix}:end`, '')
  await end.promise
  assert.equal(heard, ['first 1', 'second 1', 'second 2'])
  second?.end()
  await subscriber.confirmAll()
  assert.equal(await subscribersOf([channel]), [0])
})

test('a subscription made while the connection is lost is confirmed by the next one, also of a channel that was confirmed before', async () => {
  const channel = `${prefix}:again`
  const first = subscriber.subscribe(channel, ignore)
  await first.confirmed()
  assert.is(first.isConfirmed(), true)
  const closed = new Promise<void>((resolve) => subscriber.redis.once('close', resolve))
  proxy.cut()
  await closed
  const second = subscriber.subscribe(channel, ignore)
  assert.equal([first.isConfirmed(), second.isConfirmed()], [false, false])
  await second.confirmed()
  assert.equal([first.isConfirmed(), second.isConfirmed(), proxy.confirmed()], [true, true, 1])
})

test('a channel that lost its last listener while the connection was lost is not subscribed again', async () => {
  const [left, kept] = [`${prefix}:left`, `${prefix}:kept`]
  const subscription = subscriber.subscribe(left, ignore)
  subscriber.subscribe(kept, ignore)
  await subscriber.confirmAll()
  const closed = new Promise<void>((resolve) => subscriber.redis.once('close', resolve))
  const reconnected = nextReconnection()
  proxy.cut()
  await closed
  subscription.end()
  await reconnected
  assert.is(proxy.confirmed(), 1)
})

test('once its connection is closed for good, subscriptions are rejected as an outage, and nothing is unhandled', async () => {
  const confirmed = subscriber.subscribe(`${prefix}:confirmed`, ignore)
  await confirmed.confirmed()
  proxy.cutNext(0)
  const ended = new Promise<void>((resolve) => subscriber.redis.once('end', resolve))
  const waiting = subscriber.subscribe(`${prefix}:waiting`, ignore)
  subscriber.disconnect()
  assert.ok(isOutage(await errorOf(waiting.confirmed())))
  await ended
  const late = subscriber.subscribe(`${prefix}:late`, ignore)
  assert.ok(isOutage(await errorOf(late.confirmed())))
  assert.ok(isOutage(await errorOf(confirmed.confirmed())))
  late.end()
})

/** Starts a server that speaks as much of Redis' protocol as a connection needs, and confirms subscriptions once only. */
async function startForgetfulRedis(): Promise<Server> {
  let subscriptions = 0
  const server = createTcpServer((socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (data) => {
      for (const command of data
        .toString()
        .toLowerCase()
        .split(/^\*\d+\r\n/m)
        .slice(1)) {
        if (/\r\ninfo\r\n/.test(command)) socket.write('$7\r\nrole:x\n\r\n')
        else if (!/\r\nsubscribe\r\n/.test(command)) socket.write('+OK\r\n')
        else if (subscriptions++ === 0) socket.write('*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n')
      }
    })
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return server
}

test('a connection that is closed while it subscribes again rejects what waits for it, and leaves no unhandled rejection', async () => {
  const server = await startForgetfulRedis()
  const address = server.address()
  assert.ok(address && typeof address === 'object')
  const forgotten = openSubscriber(`redis://127.0.0.1:${address.port}`)
  const subscription = forgotten.subscribe('a', ignore)
  await subscription.confirmed()
  const ready = new Promise<void>((resolve) => forgotten.redis.once('ready', resolve))
  forgotten.reconnect()
  await ready
  const rejected = errorOf(subscription.confirmed())
  forgotten.disconnect()
  assert.match(String(await rejected), /Connection is closed/)
  server.close()
})

test('a channel that Redis refuses is rejected and logged, and asked for again with the next connection', async () => {
  const user = prefix
  await publisher.acl('SETUSER', user, 'on', '>secret', '+@all', '~*', 'resetchannels', `&${prefix}:allowed`)
  const { port } = new URL(url)
  const limited = openSubscriber(`redis://${user}:secret@127.0.0.1:${port}`)
  try {
    const channels = ['allowed', 'refused'].map((name) => limited.subscribe(`${prefix}:${name}`, ignore))
    const outcomes = await Promise.all(channels.map((channel) => errorOf(channel.confirmed())))
    assert.is(outcomes[0], undefined)
    assert.match(String(outcomes[1]), /^ReplyError: NOPERM /)
    await publisher.acl('SETUSER', user, `&${prefix}:*`)
    const reconnected = new Promise<void>((resolve) => limited.onReconnected(resolve))
    limited.reconnect()
    await reconnected
    assert.equal(
      channels.map((channel) => channel.isConfirmed()),
      [true, true],
    )
    await channels[1]?.confirmed()
  } finally {
    limited.disconnect()
    await publisher.acl('DELUSER', user)
  }
})

test('whatever is lost, left and joined meanwhile, exactly the wanted channels are subscribed in the end', async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.record({ kind: fc.constant('join' as const), channel: fc.nat(7) }) },
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('leave' as const), index: fc.nat(20) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant('cut' as const),
        next: fc.array(fc.nat(8), { maxLength: 3 }),
      }),
    },
    {
      weight: 2,
      arbitrary: fc.record({
        kind: fc.constant('wait' as const),
        event: fc.constantFrom('ready', 'close', 'turn'),
      }),
    },
  )
  await checkProperty(
    fc.asyncProperty(fc.array(step, { minLength: 10, maxLength: 40 }), async (steps) => {
      subscriber.disconnect()
      open()
      const joined: { channel: string; heard: string[]; end(): void }[] = []
      let isLost = true
      subscriber.redis.on('ready', () => {
        isLost = false
      })
      subscriber.redis.on('close', () => {
        isLost = true
      })
      for (const step of steps) {
        if (step.kind === 'join') {
          const channel = `${prefix}:${step.channel}`
          const heard: string[] = []
          joined.push({ channel, heard, end: subscriber.subscribe(channel, (text) => heard.push(text)).end })
        } else if (step.kind === 'leave') {
          for (const left of joined.splice(step.index % (joined.length + 1), 1)) left.end()
        } else if (step.kind === 'cut') {
          proxy.cutNext(...step.next)
          proxy.cut()
        } else if (step.event === 'ready' && isLost) {
          await new Promise<void>((resolve) => subscriber.redis.once('ready', resolve))
        } else await setImmediate()
      }
      proxy.cutNext()
      await subscriber.confirmAll()
      const wanted = [...new Set(joined.map(({ channel }) => channel))].toSorted()
      // Redis notices later that a connection was closed.
      await until(async () => {
        const subscribed = await publisher.pubsub('CHANNELS', `${prefix}:*`)
        return String(subscribed.toSorted()) === String(wanted)
      })
      const end = Promise.withResolvers<void>()
      subscriber.subscribe(`${prefix}:end`, () => end.resolve())
      await subscriber.confirmAll()
      for (const channel of wanted) await publisher.publish(channel, 'heard')
      await publisher.publish(`${prefix}:end`, '')
      await end.promise
      for (const { channel, heard } of joined) assert.equal(heard, ['heard'], channel)
    }),
    { runs: 20 },
  )
})

test.run()
