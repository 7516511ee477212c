import { randomUUID } from 'node:crypto'
import { createSubscriberHeartbeat } from '@millrace/api/events/subscriber-heartbeat.ts'
import { connectBlockingRedis, connectRedis } from '@millrace/shared/service/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts'

const test = suite('subscriber heartbeat')
const url = process.env['REDIS_URL'] ?? ''
const log = createLog({ level: 'silent', instance: 'test' })
let proxy: TcpProxy
let subscriber: Redis
let redis: Redis
let prefix: string

test.before.each(async () => {
  prefix = `test-${randomUUID()}`
  proxy = await startTcpProxy(Number(new URL(url).port))
  subscriber = connectBlockingRedis(proxy.url, log)
  redis = connectRedis(url, log)
})
test.after.each(() => {
  subscriber.disconnect()
  redis.disconnect()
  proxy.close()
})

test('a subscriber whose server has gone silent connects again and hears its channels', async () => {
  await subscriber.subscribe(`${prefix}:changes`)
  const heartbeat = createSubscriberHeartbeat({ subscriber, redis, prefix, log, periodMs: 500 })
  heartbeat.start()
  try {
    const readyAgain = new Promise((resolve) => subscriber.once('ready', resolve))
    proxy.silence()
    await readyAgain
    const heard = new Promise<string>((resolve) => {
      subscriber.on('message', (channel, text) => {
        if (channel === `${prefix}:changes`) resolve(text)
      })
    })
    // Confirmed after the subscriptions that ioredis repeats.
    await subscriber.subscribe(`${prefix}:other`)
    await redis.publish(`${prefix}:changes`, 'a change')
    assert.is(await heard, 'a change')
  } finally {
    heartbeat.stop()
  }
})

test('a subscriber that hears its heartbeat keeps its connection', async () => {
  const heartbeat = createSubscriberHeartbeat({ subscriber, redis, prefix, log, periodMs: 1_000 })
  const beats = Promise.withResolvers<void>()
  let count = 0
  subscriber.on('message', () => {
    count += 1
    if (count === 2) beats.resolve()
  })
  heartbeat.start()
  await beats.promise
  heartbeat.stop()
  assert.is(proxy.accepted(), 1)
})

test.run()
