import { once } from 'node:events'
import { createServer } from 'node:http'
import { Readable } from 'node:stream'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import { connectBlockingRedis, connectStreamingS3 } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('connections')

test('the streaming S3 client reuses its connection and sends no Expect header', async () => {
  let connections = 0
  const expectHeaders: (string | undefined)[] = []
  const server = createServer((request, response) => {
    expectHeaders.push(request.headers.expect)
    request.resume().on('end', () => response.end())
  })
  server.on('connection', () => connections++)
  server.on('checkContinue', () => assert.unreachable('The client sent Expect: 100-continue.'))
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const address = server.address()
  assert.ok(address && typeof address === 'object')
  const s3 = connectStreamingS3({
    endpoint: `http://127.0.0.1:${address.port}`,
    region: 'us-east-1',
    credentials: { accessKeyId: 'any', secretAccessKey: 'any' },
  })
  try {
    const size = 3 * 1024 ** 2
    for (const Key of ['one', 'two', 'three']) {
      const Body = Readable.from([Buffer.alloc(size)])
      await s3.send(new PutObjectCommand({ Bucket: 'any', Key, Body, ContentLength: size }))
    }
    assert.is(connections, 1)
    assert.equal(expectHeaders, [undefined, undefined, undefined])
  } finally {
    s3.destroy()
    server.close()
  }
})

/** Connects to a port that refuses connections, and waits until the connection waits for its next attempt. */
async function untilReconnecting(redis: Redis): Promise<Redis> {
  redis.on('error', () => undefined)
  await next(redis, 'reconnecting')
  return redis
}

/** Unlike `once`, it does not reject if the connection fails meanwhile. */
function next(redis: Redis, event: 'reconnecting' | 'ready' | 'end'): Promise<void> {
  return new Promise((resolve) => redis.once(event, () => resolve()))
}

test('a connection that is closed while it waits to connect again ends, and so does its duplicate', async () => {
  const log = createLog({ level: 'silent', instance: 'test' })
  const first = connectBlockingRedis('redis://127.0.0.1:1', log)
  const second = first.duplicate()
  for (const redis of [first, second]) {
    await untilReconnecting(redis)
    const ended = next(redis, 'end')
    redis.disconnect()
    await ended
    assert.is(redis.status, 'end')
  }
})

test('a connection that is told to connect again while it waits still connects again', async () => {
  const log = createLog({ level: 'silent', instance: 'test' })
  const redis = await untilReconnecting(connectBlockingRedis('redis://127.0.0.1:1', log))
  redis.disconnect(true)
  await next(redis, 'reconnecting')
  redis.disconnect()
})

test.run()
