import { randomUUID } from 'node:crypto'
import { createSubscriberHeartbeat } from '@millrace/api/events/subscriber-heartbeat.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { withManualIntervals } from '../../support/manual-intervals.ts'
import { type OpenSubscriber, openSubscriber } from '../../support/open-subscriber.ts'
import { suite } from '../../support/suite.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts'

const test = suite('subscriber heartbeat')
const url = process.env['REDIS_URL'] ?? ''
const log = createLog({ level: 'silent', instance: 'test' })
let proxy: TcpProxy
let subscriber: OpenSubscriber
let redis: Redis
let prefix: string

test.before.each(async () => {
  prefix = `test-${randomUUID()}`
  proxy = await startTcpProxy(Number(new URL(url).port))
  subscriber = openSubscriber(proxy.url)
  redis = connectRedis(url, log)
})
test.after.each(() => {
  subscriber.disconnect()
  redis.disconnect()
  proxy.close()
})

test('a subscriber is asked each five seconds, and one that was silent until the next time connects again and hears its channels', async () => {
  const intervals = withManualIntervals()
  const warnings: unknown[] = []
  const heartbeat = createSubscriberHeartbeat({
    subscriber,
    redis,
    prefix,
    log: Object.assign(createLog({ level: 'silent', instance: 'test' }), {
      warn: (fields: object) => warnings.push('event' in fields && fields.event),
    }),
  })
  try {
    let hear: (text: string) => void = () => undefined
    const nextChange = () =>
      new Promise<string>((resolve) => {
        hear = resolve
      })
    subscriber.subscribe(`${prefix}:changes`, (text) => hear(text))
    heartbeat.start()
    await subscriber.confirmAll()
    const [timer] = intervals.started.filter(({ everyMs }) => everyMs === 5_000)
    assert.ok(timer)
    for (let beat = 1; beat <= 3; beat++) {
      const heard = new Promise((resolve) => subscriber.redis.once('message', (_, text) => resolve(text)))
      await timer.run()
      assert.is(await heard, String(beat))
    }
    assert.equal([proxy.accepted(), warnings], [1, []], 'it hears its heartbeat and keeps its connection')

    proxy.silence()
    await timer.run()
    assert.equal(warnings, [], 'the answer has time until the next beat')
    const reconnected = new Promise<void>((resolve) => subscriber.onReconnected(resolve))
    await timer.run()
    assert.equal(warnings, ['subscriber-silent'])
    await reconnected
    const heard = nextChange()
    await redis.publish(`${prefix}:changes`, 'a change')
    assert.is(await heard, 'a change')
    await timer.run()
    assert.equal(warnings, ['subscriber-silent'], 'the new connection has its time as well')
    heartbeat.stop()
    assert.is(timer.isCleared, true)
  } finally {
    heartbeat.stop()
    intervals.restore()
  }
})

test('nothing is concluded before the channel is confirmed, or from a message that was lost with its connection', async () => {
  const intervals = withManualIntervals()
  let published = 0
  // All of its messages are lost.
  const publish = async () => {
    published += 1
    return 1
  }
  const heartbeat = createSubscriberHeartbeat({ subscriber, redis: { publish }, prefix, log })
  try {
    await subscriber.confirmAll()
    heartbeat.start()
    const [timer] = intervals.started.filter(({ everyMs }) => everyMs === 5_000)
    assert.ok(timer)
    await timer.run()
    assert.is(published, 0)
    await subscriber.confirmAll()
    await timer.run()
    assert.is(published, 1)
    const reconnected = new Promise<void>((resolve) => subscriber.onReconnected(resolve))
    subscriber.reconnect()
    await reconnected
    await timer.run()
    assert.equal([published, proxy.accepted()], [2, 2])
  } finally {
    heartbeat.stop()
    intervals.restore()
  }
})

test.run()
