import { randomUUID } from 'node:crypto'
import { createNewSessions } from '@millrace/api/identity/new-sessions.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('counts of new sessions')
const secondMs = 1_000
let redis: Redis

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
})
test.after(() => redis.disconnect())

test('a refusal names the limit of the network that is full, and when its hour ends', async () => {
  const prefix = `test-${randomUUID()}`
  const { count } = createNewSessions({ redis, prefix, limitPerHour: 1 })
  const refusalOf = async (address: string) => {
    const error: unknown = await count('owners', randomUUID(), address).catch((thrown: unknown) => thrown)
    assert.ok(error instanceof AppError, String(error))
    return error
  }
  for (let n = 1; n <= 8; n++) await count('owners', randomUUID(), `2001:db8:1:${n}::1`)
  for (const [address, network, limit, leftMs] of [
    ['2001:db8:1:8::2', '2001:db8:1:8::/64', 1, 90 * secondMs],
    ['2001:db8:1:9::1', '2001:db8:1::/48', 8, 600 * secondMs],
  ] as const) {
    const key = `${prefix}:new-sessions:owners:${network}`
    await redis.pexpire(key, leftMs)
    const { code, message, limit: named, remaining, retryAfterSeconds = 0 } = await refusalOf(address)
    assert.equal([code, named, remaining], ['too_many_sessions', limit, 0])
    const least = Math.ceil((await redis.pttl(key)) / secondMs)
    assert.ok(retryAfterSeconds >= least && retryAfterSeconds <= leftMs / secondMs, `${retryAfterSeconds} s`)
    const rest = `per hour for one address. Retry after ${retryAfterSeconds} s.`
    assert.is(message, `The limit is ${limit} new sessions with uploads ${rest}`)
  }
})

test.run()
