import { randomUUID } from 'node:crypto'
import { S3Client } from '@aws-sdk/client-s3'
import { SQSClient } from '@aws-sdk/client-sqs'
import { createReadiness } from '@millrace/api/fleet/readiness.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'
import { startTcpProxy, type TcpProxy } from '../../support/tcp-proxy.ts'

const test = suite('readiness check')
const realTimeout = AbortSignal.timeout
let proxy: TcpProxy
let redis: Redis

test.before(async () => {
  const url = process.env['REDIS_URL'] ?? ''
  proxy = await startTcpProxy(Number(new URL(url).port))
  redis = connectRedis(proxy.url, createLog({ level: 'silent', instance: 'test' }))
})
test.after.each(() => {
  AbortSignal.timeout = realTimeout
})
test.after(() => {
  redis.disconnect()
  proxy.close()
})

/** A check whose S3 and SQS answer, or throw this error. */
function checkWith(errors: { s3?: Error; sqs?: Error } = {}) {
  const s3 = new S3Client({ region: 'eu-central-1' })
  s3.middlewareStack.add(
    () => async () => {
      if (errors.s3) throw errors.s3
      return { response: {}, output: { $metadata: {} } }
    },
    { step: 'initialize' },
  )
  const sqs = new SQSClient({ region: 'eu-central-1' })
  sqs.middlewareStack.add(
    () => async () => {
      if (errors.sqs) throw errors.sqs
      return { response: {}, output: { $metadata: {} } }
    },
    { step: 'initialize' },
  )
  const prefix = `test-${randomUUID()}`
  const names = { instance: 'one', bucket: 'b', queueUrl: 'https://sqs.example/q' }
  return createReadiness({ redis, prefix, s3, sqs, ...names })()
}

test('an instance is ready only if each dependency answers, and says which has no space left', async () => {
  const full = Object.assign(new Error('no space'), { $metadata: { httpStatusCode: 507 } })
  assert.equal(await checkWith(), { ready: true, checks: { redis: 'ok', s3: 'ok', sqs: 'ok' } })
  assert.equal(await checkWith({ s3: new Error('away') }), {
    ready: false,
    checks: { redis: 'ok', s3: 'failed', sqs: 'ok' },
  })
  assert.equal(await checkWith({ sqs: new Error('away') }), {
    ready: false,
    checks: { redis: 'ok', s3: 'ok', sqs: 'failed' },
  })
  assert.equal(await checkWith({ s3: full }), {
    ready: false,
    checks: { redis: 'ok', s3: 'full', sqs: 'ok' },
  })
})

test('a dependency that does not answer has failed after two seconds', async () => {
  const asked: number[] = []
  const late = new AbortController()
  AbortSignal.timeout = (ms) => {
    asked.push(ms)
    return late.signal
  }
  proxy.silence()
  const checking = checkWith()
  setImmediate(() => late.abort(new Error('late')))
  assert.equal(await checking, { ready: false, checks: { redis: 'failed', s3: 'ok', sqs: 'ok' } })
  assert.equal(asked, [2_000])
})

test.run()
