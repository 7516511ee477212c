import { createHash, randomUUID } from 'node:crypto'
import { createRespondOnce, type KeyedId } from '@millrace/api/uploads/idempotency-key.ts'
import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import { connectRedis } from '@millrace/shared/service/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import { newUploadId, uploadIdTail } from '@millrace/shared/uploads/upload-id.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { withManualIntervals } from '../../support/manual-intervals.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('responding once to an Idempotency-Key')
const prefix = `test-${randomUUID()}`
let redis: Redis
let intervals: ReturnType<typeof withManualIntervals>

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', createLog({ level: 'silent', instance: 'test' }))
})
test.before.each(() => {
  intervals = withManualIntervals()
})
test.after.each(() => intervals.restore())
test.after(() => redis.disconnect())

/** Creates a `respondOnce` whose Redis has lost nothing, and a request. `begun` is what an earlier request has begun. */
function createRequest(options: { epoch?: number; lostId?: string; begun?: Upload } = {}) {
  const { epoch = 0, lostId, begun } = options
  const searches: string[] = []
  const respondOnce = createRespondOnce({
    redis,
    prefix,
    epoch: { current: async () => epoch },
    async findLostId(_owner, { tail }) {
      searches.push(tail)
      return lostId
    },
  })
  const key = randomUUID()
  return {
    searches,
    lockKey: `${prefix}:{crashing}:idempotency-lock:${sha256(key)}`,
    hashKey: `${prefix}:{crashing}:idempotency:${sha256(key)}`,
    respond: (work: (keyed: KeyedId) => Promise<{ run: number }>, content: unknown = 1) =>
      respondOnce(
        { owner: 'crashing', key, content },
        { findBegun: async () => begun, respondAgain: () => ({ run: 0 }) },
        work,
      ),
  }
}

const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')

async function expectRefusal(response: Promise<unknown>, code: ErrorCode): Promise<AppError> {
  try {
    await response
  } catch (error) {
    if (!(error instanceof AppError)) throw error
    assert.is(error.code, code)
    return error
  }
  throw new Error('The request was not refused.')
}

test('a key stays locked while its request runs, and is released after its instance died', async () => {
  const { respond, lockKey, hashKey } = createRequest()
  const { promise, resolve } = Promise.withResolvers<{ run: number }>()
  const ids: string[] = []
  const slow = respond(({ id }) => {
    ids.push(id)
    return promise
  })
  await until(async () => (await redis.exists(lockKey)) === 1)
  const leftMs = await redis.pttl(lockKey)
  assert.ok(leftMs > 10_000 && leftMs <= 15_000, `${leftMs} ms`)
  const renewal = intervals.started[0]
  assert.is(renewal?.everyMs, 5_000)
  await redis.pexpire(lockKey, 9_000)
  renewal?.run()
  await until(async () => (await redis.pttl(lockKey)) > 9_000)
  for (const [lockedForMs, most] of [
    [15_000, 5],
    [3_500, 4],
  ] as const) {
    await redis.pexpire(lockKey, lockedForMs)
    const { retryAfterSeconds = 0 } = await expectRefusal(
      respond(async () => ({ run: 2 })),
      'idempotency_key_in_use',
    )
    const least = Math.min(most, Math.ceil((await redis.pttl(lockKey)) / 1000))
    assert.ok(retryAfterSeconds >= least && retryAfterSeconds <= most, `${retryAfterSeconds} s`)
  }
  await expectRefusal(
    respond(async () => ({ run: 2 }), 'other content'),
    'idempotency_key_reused',
  )
  resolve({ run: 1 })
  assert.equal(await slow, { run: 1 })
  assert.is(renewal?.isCleared, true)
  assert.is(await redis.exists(lockKey), 0)
  assert.is(await redis.hget(hashKey, 'id'), ids[0])

  // The state after an instance died: the key is locked, and no process renews it.
  await redis.set(lockKey, `dead:${sha256('1')}`, 'PX', 50)
  await until(async () => (await redis.exists(lockKey)) === 0)
  const run = await respond(async ({ id, isRepeated }) => {
    ids.push(id)
    assert.ok(isRepeated)
    return { run: 4 }
  })
  assert.equal(run, { run: 4 })
  assert.is(ids[0], ids[1])
})

test('a request whose key was lost with all of Redis stores it again while it runs', async () => {
  const { respond, lockKey, hashKey } = createRequest()
  const { promise, resolve } = Promise.withResolvers<{ run: number }>()
  let keyed: KeyedId | undefined
  const slow = respond(async (given) => {
    keyed = given
    await given.keep()
    return promise
  })
  await until(async () => (await redis.exists(hashKey)) === 1)
  await redis.del(lockKey, hashKey)
  intervals.started[0]?.run()
  await until(async () => (await redis.exists(lockKey)) === 1)
  assert.is(await redis.hget(hashKey, 'id'), keyed?.id)
  assert.ok(await keyed?.isHeld())
  resolve({ run: 1 })
  await slow
  await respond(async ({ id, isRepeated }) => {
    assert.equal([id, isRepeated], [keyed?.id, true])
    return { run: 2 }
  })
})

test('a request that lost its key to another one does not hold it', async () => {
  const { respond, lockKey, hashKey } = createRequest()
  const { promise, resolve } = Promise.withResolvers<{ run: number }>()
  let suspended: KeyedId | undefined
  const slow = respond(async (given) => {
    suspended = given
    await given.keep()
    return promise
  })
  await until(async () => (await redis.exists(hashKey)) === 1)
  await redis.del(lockKey)
  assert.not(await suspended?.isHeld())
  await respond(async ({ id, isHeld }) => {
    assert.is(id, suspended?.id)
    assert.ok(await isHeld())
    assert.not(await suspended?.isHeld())
    return { run: 2 }
  })
  assert.not(await suspended?.isHeld())
  resolve({ run: 1 })
  assert.equal(await slow, { run: 1 })
})

test('a request that lost its key to another one before it began anything begins nothing', async () => {
  const { respond, lockKey } = createRequest()
  const { promise, resolve } = Promise.withResolvers<void>()
  const slow = respond(async ({ keep }) => {
    await promise
    await keep()
    return { run: 1 }
  })
  await until(async () => (await redis.exists(lockKey)) === 1)
  await redis.del(lockKey)
  const other = Promise.withResolvers<{ run: number }>()
  const second = respond(async ({ keep }) => {
    await keep()
    resolve()
    return other.promise
  })
  await expectRefusal(slow, 'idempotency_key_in_use')
  other.resolve({ run: 2 })
  assert.equal(await second, { run: 2 })
})

test('an unknown key is searched in S3 only if Redis may have lost it within the last day', async () => {
  const dayMs = 24 * 60 * 60 * 1000
  const old = createRequest({ epoch: Date.now() - dayMs - 1000, lostId: newUploadId() })
  await old.respond(async ({ isRepeated }) => ({ run: Number(isRepeated) }))
  assert.equal(old.searches, [])
  const repeated = await old.respond(async ({ isRepeated }) => ({ run: Number(isRepeated) }))
  assert.equal(repeated, { run: 1 })

  const lostId = newUploadId()
  const young = createRequest({ epoch: Date.now() - dayMs + 60_000, lostId })
  await young.respond(async ({ id, isRepeated }) => {
    assert.ok(isRepeated)
    assert.is(id, lostId)
    return { run: 1 }
  })
  assert.is(young.searches.length, 1)
  assert.is(await redis.hget(young.hashKey, 'id'), lostId)
  await young.respond(async () => ({ run: 2 }))
  assert.is(young.searches.length, 1)
})

test('a key of which nothing is found is not searched a second time', async () => {
  const { respond, searches } = createRequest({ epoch: Date.now() })
  const ids: string[] = []
  const fail = respond(async ({ id, isRepeated, keep }) => {
    ids.push(id)
    assert.not(isRepeated)
    await keep()
    throw new AppError('conflict')
  })
  await expectRefusal(fail, 'conflict')
  await respond(async ({ id, isRepeated }) => {
    ids.push(id)
    assert.ok(isRepeated)
    return { run: 1 }
  })
  assert.is(ids[0], ids[1])
  assert.is(searches[0], uploadIdTail(ids[0] ?? ''))
  assert.is(searches.length, 1)
})

test.run()
