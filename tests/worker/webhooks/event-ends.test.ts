import { randomUUID } from 'node:crypto'
import { connectRedis } from '@millrace/shared/connections/connections.ts'
import { outboxKey } from '@millrace/shared/ledger/object-keys.ts'
import { createLog } from '@millrace/shared/service/log.ts'
import { tenantKey } from '@millrace/shared/uploads/owner.ts'
import { newUploadId } from '@millrace/shared/uploads/upload-id.ts'
import { createEventEnds } from '@millrace/worker/webhooks/event-ends.ts'
import { createOutboxRelay } from '@millrace/worker/webhooks/outbox-relay.ts'
import type { Redis } from 'ioredis'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('ends of events and their relay')
const log = createLog({ level: 'silent', instance: 'test' })
const dayMs = 24 * 60 * 60 * 1000
let redis: Redis
let prefix: string

test.before(() => {
  redis = connectRedis(process.env['REDIS_URL'] ?? '', log)
})
test.before.each(() => {
  prefix = `test-${randomUUID()}`
})
test.after(() => redis.disconnect())

test('which webhooks are done with an event is known for three days, longer than deliveries are tried', async () => {
  const ends = createEventEnds({ redis, prefix })
  await ends.record('evt_1', 'wh_1', 'delivered')
  const leftMs = await redis.pttl(`${prefix}:webhook-event:evt_1:ends`)
  assert.ok(leftMs <= 3 * dayMs && leftMs > 3 * dayMs - 60_000, String(leftMs))
  assert.equal([await ends.has('evt_1', 'wh_1'), await ends.has('evt_1', 'wh_2')], [true, false])
  await ends.forget('evt_1')
  assert.is(await ends.has('evt_1', 'wh_1'), false)
})

test('a relay lists all pages of the outbox in one pass, and adds a job for each event without one', async () => {
  const keys = Array.from({ length: 3 }, (_, i) =>
    outboxKey(tenantKey('acme'), newUploadId(), `evt_${String(i).repeat(32)}`),
  )
  const listed: unknown[] = []
  const relayed: string[] = []
  const done = Promise.withResolvers<void>()
  const relay = createOutboxRelay({
    redis,
    prefix,
    outbox: {
      async list({ after } = {}) {
        listed.push(after)
        const page = after === undefined ? 0 : keys.indexOf(after) + 1
        const key = keys[page] ?? ''
        return { entries: [{ key, writtenAtMs: 0 }], next: page < keys.length - 1 ? key : undefined }
      },
    },
    queue: {
      withoutJob: async (events) => [...events],
      async distribute({ eventId }) {
        relayed.push(eventId)
        if (relayed.length === keys.length) done.resolve()
        return true
      },
    },
    intervalMs: 1,
    log,
  })
  relay.start()
  await done.promise
  await relay.stop()
  assert.equal(listed.slice(0, 3), [undefined, keys[0], keys[1]])
  assert.is(new Set(relayed).size, 3)
})

test.run()
