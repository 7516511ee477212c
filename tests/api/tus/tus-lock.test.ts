import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { createTusLocks } from '@millrace/api/tus/tus-lock.ts'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import * as assert from 'uvu/assert'
import { withManualIntervals } from '../../support/manual-intervals.ts'
import { openSubscriber } from '../../support/open-subscriber.ts'
import { suite } from '../../support/suite.ts'

const test = suite('lock of a tus upload')

test('a holder that finds the lock of another one at its next renewal stops writing at once', async () => {
  const log = createLog({ level: 'silent', instance: 'test' })
  const url = process.env['REDIS_URL'] ?? ''
  const [redis, subscriber] = [connectRedis(url, log), openSubscriber(url)]
  const prefix = `test-${randomUUID()}`
  const locks = createTusLocks({ redis, subscriber, prefix, log })
  const address = { owner: 'lock', id: newUploadId() }
  const { signal } = new AbortController()
  await Promise.all([redis.ping(), subscriber.confirmAll()])
  const intervals = withManualIntervals()
  const lock = await locks.acquire(address, { signal, onWanted: () => undefined })
  const [renewal, ...others] = intervals.started
  assert.equal([renewal?.everyMs, others], [1_500, []])

  await redis.set(`${prefix}:{lock}:tus:${address.id}:lock`, 'another')
  const lost = once(lock.lost, 'abort')
  renewal?.run()
  await lost
  const { reason } = lock.lost
  assert.instance(reason, AppError)
  assert.is(reason.code, 'upload_locked')
  assert.ok(renewal?.isCleared)
  intervals.restore()
  await lock.release()
  assert.is(await redis.get(`${prefix}:{lock}:tus:${address.id}:lock`), 'another')
  subscriber.disconnect()
  redis.disconnect()
})

test.run()
