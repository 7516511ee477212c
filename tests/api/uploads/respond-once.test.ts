import { createHash, randomUUID } from 'node:crypto'
import {
  createRespondOnce,
  createWithIdempotencyKey,
  type KeyedId,
  keyedAgeMs,
} from '@millrace/api/announcing/idempotency-key.ts'
import { registerErrorHandler } from '@millrace/api/requests/problem.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { AppError, type ErrorCode } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import type { Upload } from '@millrace/shared/uploads/upload.ts'
import type { UploadAddress } from '@millrace/shared/uploads/upload-address.ts'
import { newUploadId, smallestUploadId, uploadIdTail } from '@millrace/shared/uploads/upload-id.ts'
import { fastify } from 'fastify'
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

/** Creates a `respondOnce` whose Redis has lost nothing, and a request. `begun` is the state of what an earlier request began. */
function createRequest(options: { epoch?: number; lostId?: string; begun?: Upload['state'] } = {}) {
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
    respond: (work: (keyed: KeyedId) => Promise<{ run: number; id?: string }>, content: unknown = 1) =>
      respondOnce(
        { owner: 'crashing', key, content },
        {
          findBegun: async (address) => (begun === undefined ? undefined : uploadOf(address, begun)),
          respondAgain: ({ id }) => ({ run: 0, id }),
        },
        work,
      ),
  }
}

/** The work of a request that must do none. */
const noWork = async () => {
  throw new Error('It did the work.')
}

function uploadOf(address: UploadAddress, state: Upload['state']): Upload {
  const at = new Date(0).toISOString()
  const intent = { filename: 'a', contentType: 'text/plain', size: 1, preset: 'default' }
  return { ...address, state, intent, findings: {}, variants: [], createdAt: at, updatedAt: at }
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
  assert.is(await redis.exists(hashKey), 0, 'a request that began nothing stores nothing')
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

for (const state of ['received', 'processing', 'ready', 'rejected', 'failed'] as const) {
  test(`the repeated request of an upload that is ${state} gets it, and does no work`, async () => {
    const { respond, hashKey } = createRequest({ begun: state })
    const id = await beginWith(respond)
    const again = await respond(noWork)
    assert.equal(again, { run: 0, id })
    await expectRefusal(respond(noWork, 'other content'), 'idempotency_key_reused')
    assert.is(await redis.hget(hashKey, 'id'), id)
  })
}

test('the repeated request of an upload that still awaits its file continues with it', async () => {
  const { respond } = createRequest({ begun: 'awaiting' })
  const begunId = await beginWith(respond)
  const again = await respond(async ({ id, isRepeated }) => ({ run: Number(isRepeated), id }))
  assert.equal(again, { run: 1, id: begunId })
  await expectRefusal(respond(noWork, 'other content'), 'idempotency_key_reused')
})

test('a key of which nothing was begun may be used for another request, whose content it has from then on', async () => {
  const { respond, hashKey } = createRequest()
  const begunId = await beginWith(respond)
  const keep = async ({ id, keep: keepId }: KeyedId) => {
    await keepId()
    return { run: 2, id }
  }
  assert.equal(await respond(keep, { b: [1, { d: null, c: 2 }], a: 'x' }), { run: 2, id: begunId })
  // The order of fields is no difference, that of a list is one.
  assert.is(await redis.hget(hashKey, 'fingerprint'), sha256('{"a":"x","b":[1,{"c":2,"d":null}]}'))
})

/** Fails after it has begun something. @returns its id */
async function beginWith(respond: ReturnType<typeof createRequest>['respond']): Promise<string> {
  let begunId = ''
  const failing = respond(async ({ id, isRepeated, keep }) => {
    assert.is(isRepeated, false)
    await keep()
    begunId = id
    throw new AppError('conflict')
  })
  await expectRefusal(failing, 'conflict')
  return begunId
}

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

test('a key that Redis lost gets the upload that S3 has, whatever the content: its own is not known any more', async () => {
  const lostId = newUploadId()
  const { respond, hashKey } = createRequest({ epoch: Date.now(), lostId, begun: 'ready' })
  assert.equal(await respond(noWork), {
    run: 0,
    id: lostId,
  })
  assert.is(await redis.hget(hashKey, 'id'), lostId)
})

test('the age of a key is that of its first request, and none before it is repeated', () => {
  const ageMs = 90_000
  const id = smallestUploadId(Date.now() - ageMs)
  const keyed = { id, keep: async () => {}, isHeld: async () => true }
  const [first, repeated] = [
    { ...keyed, isRepeated: false },
    { ...keyed, isRepeated: true },
  ]
  assert.equal([keyedAgeMs(undefined), keyedAgeMs(first)], [0, 0])
  const found = keyedAgeMs(repeated)
  assert.ok(found >= ageMs && found < ageMs + 20_000, `${found} ms`)
  const ofTheFuture = { ...repeated, id: smallestUploadId(Date.now() + ageMs) }
  assert.is(keyedAgeMs(ofTheFuture), 0, 'another instance has a clock that is ahead')
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

/**
 * Starts a route with the header, of a session that owns `owner`; undefined: the request has none.
 * @param options.arrived the state of what S3 has @param options.recorded the state of the record
 */
function startRoute(options: {
  owner?: string
  arrived?: Upload['state']
  recorded?: Upload['state']
  isErased?: boolean
}) {
  const { owner, arrived, recorded, isErased = false } = options
  const stored = (address: UploadAddress, state: Upload['state'] | undefined) =>
    state && { upload: uploadOf(address, state), revision: 1, isCopy: false, isChecked: true }
  const withIdempotencyKey = createWithIdempotencyKey({
    owner: {
      find: async () => owner,
      findForUpload: async () => owner,
      findOrCreate: async () => owner ?? 'new-owner',
    },
    respondOnce: createRespondOnce({
      ...{ redis, prefix },
      epoch: { current: async () => 0 },
      findLostId: async () => undefined,
    }),
    records: { find: async (address) => stored(address, recorded) },
    receiveUpload: async (address) => stored(address, arrived),
    isErased: async () => isErased,
  })
  const app = fastify()
  registerErrorHandler(app)
  app.get('/', (request) => {
    const { 'x-key': key } = request.headers
    return withIdempotencyKey<Record<string, unknown>>(
      request,
      {
        key: typeof key === 'string' ? key : undefined,
        content: 1,
        respondAgain: ({ id, state }) => ({ id, state }),
      },
      async (ownerId, keyed) => {
        await keyed?.keep()
        return { ownerId, id: keyed?.id ?? null, isRepeated: keyed?.isRepeated ?? null }
      },
    )
  })
  return async (key?: string) => {
    const response = await app.inject({ url: '/', headers: key === undefined ? {} : { 'x-key': key } })
    return response.json()
  }
}

test('a request without a key, or without a session, is responded to each time, and Redis stores nothing of it', async () => {
  const before = await redis.keys(`${prefix}:*`)
  const key = randomUUID()
  assert.equal(await startRoute({ owner: 'mine' })(), { ownerId: 'mine', id: null, isRepeated: null })
  assert.equal(await startRoute({})(key), { ownerId: 'new-owner', id: null, isRepeated: null })
  assert.equal((await redis.keys(`${prefix}:*`)).toSorted(), before.toSorted())
})

for (const [name, state, found] of [
  ['what S3 has, whatever the record says', 'received', { arrived: 'received', recorded: 'awaiting' }],
  ['the record, if S3 has nothing', 'failed', { recorded: 'failed' }],
] as const) {
  test(`the repeated request of a key gets ${name}`, async () => {
    const key = randomUUID()
    const first = await startRoute({ owner: 'mine' })(key)
    assert.equal([first.ownerId, first.isRepeated], ['mine', false])
    assert.equal(await startRoute({ owner: 'mine', ...found })(key), { id: first.id, state })
  })
}

test('the repeated request of an upload that was erased is refused, and begins nothing', async () => {
  const key = randomUUID()
  await startRoute({ owner: 'mine' })(key)
  const refused = await startRoute({ owner: 'mine', arrived: 'received', isErased: true })(key)
  assert.equal([refused.status, refused.code], [404, 'upload_not_found'])
})

test.run()
