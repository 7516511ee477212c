import { randomUUID } from 'node:crypto'
import { type ListObjectsV2CommandOutput, S3Client } from '@aws-sdk/client-s3'
import { createRevokedTokens } from '@millrace/api/credentials/revoked-tokens.ts'
import { newTokenId } from '@millrace/api/credentials/token-id.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { revocationKey } from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { withManualIntervals } from '../../support/manual-intervals.ts'
import { type OpenSubscriber, openSubscriber } from '../../support/open-subscriber.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('polls of revocations')
const log = createLog({ level: 'silent', instance: 'test' })
const { now: realNow } = performance
let redis: Redis
let subscriber: OpenSubscriber
let intervals: ReturnType<typeof withManualIntervals>
/** What S3 has, and how often it was listed. */
let keys: Set<string>
let listings: number

test.before(() => {
  const url = process.env['REDIS_URL'] ?? ''
  redis = connectRedis(url, log)
  subscriber = openSubscriber(url)
})
test.before.each(() => {
  intervals = withManualIntervals()
  keys = new Set()
  listings = 0
})
test.after.each(() => {
  performance.now = realNow
  intervals.restore()
})
test.after(() => {
  redis.disconnect()
  subscriber.disconnect()
})

const newId = (endsInMs: number) =>
  newTokenId(
    { owner: userOwner('acme', 'ada'), endsAtMs: Math.ceil((Date.now() + endsInMs) / 1000) * 1000 },
    Buffer.alloc(32, 7),
  )

function start() {
  const prefix = `test-${randomUUID()}`
  const s3 = new S3Client({ region: 'us-east-1', credentials: { accessKeyId: 'a', secretAccessKey: 'b' } })
  s3.middlewareStack.add(
    (_next, { commandName }) =>
      async ({ input }) => {
        if (commandName === 'PutObjectCommand') {
          keys.add('Key' in input ? String(input.Key) : '')
          return { response: {}, output: { $metadata: {} } }
        }
        listings += 1
        const after = 'StartAfter' in input ? String(input.StartAfter) : ''
        const Contents = [...keys].filter((key) => key > after).map((Key) => ({ Key }))
        const output: ListObjectsV2CommandOutput = { $metadata: {}, Contents }
        return { response: {}, output }
      },
    { step: 'initialize' },
  )
  const revoked = createRevokedTokens({ redis, subscriber, prefix, s3, bucket: 'uploads', log })
  /** Polls as the timer does. */
  const poll = async () => {
    const [timer, ...others] = intervals.started
    assert.equal([timer?.everyMs, others], [2_000, []])
    timer?.run()
    await redis.ping()
    for (let turn = 0; turn < 5; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
  }
  return { ...revoked, prefix, poll }
}

test('S3 is listed when Redis says that a token was revoked, or has lost that, and otherwise every 15 s', async () => {
  const clock = { now: 1_000_000 }
  performance.now = () => clock.now
  const { has, prefix, poll } = start()
  const unrelated = newId(60_000)
  assert.is(await has(unrelated), false)
  assert.is(listings, 1)
  await poll()
  clock.now += 14_999
  await poll()
  assert.is(listings, 1)
  clock.now += 1
  await poll()
  assert.is(listings, 2)
  clock.now += 14_999
  await poll()
  assert.is(listings, 2)

  const id = newId(60_000)
  keys.add(revocationKey(id))
  await redis.set(`${prefix}:revocations`, 'another')
  assert.is(await has(id), false)
  await poll()
  assert.equal([await has(id), await has(unrelated), listings], [true, false, 3])
  await poll()
  assert.is(listings, 3)
  await redis.del(`${prefix}:revocations`)
  await poll()
  await poll()
  assert.is(listings, 4)
})

test('a revocation is forgotten once its token has ended for longer than clocks differ', async () => {
  const { has, revoke, poll } = start()
  const [ended, lasting] = [newId(-20_000), newId(60_000)]
  assert.is(await has(ended), false)
  await revoke(ended)
  await revoke(lasting)
  assert.is(await has(ended), true)
  await poll()
  assert.equal([await has(ended), await has(lasting)], [false, true])
})

test('a message of another channel of the connection revokes nothing', async () => {
  const { has, prefix } = start()
  const [id, revoked] = [newId(60_000), newId(60_000)]
  await subscriber.subscribe(`${prefix}:changes:acme`, () => undefined).confirmed()
  await redis.publish(`${prefix}:changes:acme`, id)
  await redis.publish(`${prefix}:revoked-tokens`, revoked)
  await until(() => has(revoked))
  assert.is(await has(id), false)
})

test('after it was closed, an instance begins no polls', async () => {
  const { has, close } = start()
  await has(newId(60_000))
  close()
  assert.is(intervals.started[0]?.isCleared, true)
  const closed = start()
  closed.close()
  await closed.has(newId(60_000))
  assert.is(intervals.started.length, 1)
})

test.run()
