import { createRevokedTokens } from '@millrace/api/credentials/revoked-tokens.ts'
import { newTokenId } from '@millrace/api/credentials/token-id.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { userOwner } from '@millrace/shared/uploads/owner.ts'
import * as assert from 'uvu/assert'
import { type ApiInstances, startApiInstances } from '../../support/api-instances.ts'
import { openSubscriber } from '../../support/open-subscriber.ts'
import { suite } from '../../support/suite.ts'
import { until } from '../../support/until.ts'

const test = suite('revoked tokens')
const log = createLog({ level: 'silent', instance: 'test' })
const key = Buffer.alloc(32, 7)
const lifeMs = 60_000
let api: ApiInstances
const opened: (() => void)[] = []

test.before(async () => {
  api = await startApiInstances()
})
test.after(async () => {
  for (const close of opened) close()
  await api.close()
})

const newId = (endsInMs = lifeMs) =>
  newTokenId(
    { owner: userOwner('acme', 'ada'), endsAtMs: Math.ceil((Date.now() + endsInMs) / 1000) * 1000 },
    key,
  )

/**
 * Creates an instance's knowledge of revocations.
 * @param options.prefix another one than that of the other instances keeps it from their messages
 */
function instance(options: { prefix?: string; pollMs?: number; maxAgeMs?: number } = {}) {
  const url = process.env['REDIS_URL'] ?? ''
  const redis = connectRedis(url, log)
  const subscriber = openSubscriber(url)
  const revoked = createRevokedTokens({
    ...{ redis, subscriber, log, prefix: api.prefix, s3: api.s3, bucket: api.bucket },
    ...options,
  })
  opened.push(() => {
    revoked.close()
    redis.disconnect()
    subscriber.disconnect()
  })
  return { ...revoked, subscriber }
}

/** Resolves once the instance knows the revocation. */
async function untilKnown({ has }: Pick<ReturnType<typeof instance>, 'has'>, id: string): Promise<void> {
  await until(() => has(id))
}

test('a revocation is known at once where it was made, and in other instances by a message', async () => {
  const [one, other] = [instance({ pollMs: lifeMs }), instance({ pollMs: lifeMs })]
  const [id, unrelated] = [newId(), newId()]
  assert.equal([await one.has(id), await other.has(id)], [false, false])
  await one.revoke(id)
  assert.is(await one.has(id), true)
  await untilKnown(other, id)
  assert.equal([await one.has(unrelated), await other.has(unrelated)], [false, false])
})

test('an instance that starts later reads revocations from S3, without any of Redis', async () => {
  const id = newId()
  await instance().revoke(id)
  assert.is(await instance({ prefix: `${api.prefix}-lost` }).has(id), true)
})

test('an instance that missed the message finds the revocation at its next poll', async () => {
  const [one, other] = [instance(), instance({ pollMs: 20, maxAgeMs: lifeMs })]
  const id = newId()
  assert.is(await other.has(id), false)
  other.subscriber.disconnect()
  await one.revoke(id)
  await untilKnown(other, id)
})

test('an instance whose Redis does not respond reads S3 at each poll', async () => {
  const one = instance()
  const id = newId()
  const broken = instance({ pollMs: 20, maxAgeMs: lifeMs, prefix: `${api.prefix}-other` })
  assert.is(await broken.has(id), false)
  await api.redis.del(`${api.prefix}-other:revocations`)
  // A key of another type: each read of it fails.
  await api.redis.rpush(`${api.prefix}-other:revocations`, 'x')
  await one.revoke(id)
  await untilKnown(broken, id)
})

test('a revocation whose token has ended is forgotten, and not listed', async () => {
  const ended = newId(-20_000)
  const one = instance({ pollMs: lifeMs })
  await one.revoke(ended)
  const other = instance()
  assert.is(await other.has(ended), false)
})

test('a revocation is known for longer than clocks differ after the end of its token', async () => {
  // Instances accept a token for 5 s after its end.
  const ended = newId(-6_000)
  await instance({ pollMs: lifeMs }).revoke(ended)
  assert.is(await instance({ prefix: `${api.prefix}-later` }).has(ended), true)
})

test.run()
