import { usualManifestTimes } from '@millrace/worker/webhooks/distribute-event.ts'
import { retryDelay, usualRetryTimes } from '@millrace/worker/webhooks/retry-delay.ts'
import { usualSendLimits } from '@millrace/worker/webhooks/send-webhook.ts'
import { usualTurnTimes } from '@millrace/worker/webhooks/upload-turns.ts'
import { usualSlotLimits } from '@millrace/worker/webhooks/webhook-slots.ts'
import fc from 'fast-check'
import * as assert from 'uvu/assert'
import { checkProperty } from '../../support/check-property.ts'
import { suite } from '../../support/suite.ts'

const test = suite('retry delay')
const longest = (failures: number, retryAfterMs?: number) =>
  retryDelay(usualRetryTimes, failures, retryAfterMs, () => 0)
const shortest = (failures: number, retryAfterMs?: number) =>
  retryDelay(usualRetryTimes, failures, retryAfterMs, () => 1)

test('delays grow from 5 s to 4 h, over a day', () => {
  const seconds = Array.from({ length: 9 }, (_, index) => longest(index + 1) / 1000)
  assert.equal(seconds, [5, 15, 45, 135, 405, 1215, 3645, 10_935, 14_400])
  assert.is(longest(1_000), 4 * 3_600_000)
  assert.is(shortest(1), 3_750)
  assert.is(usualRetryTimes.giveUpAfterMs, 24 * 3_600_000)
})

test('a receiver has 15 s to respond, and its response 2 s to arrive', () => {
  assert.equal(usualSendLimits, { timeoutMs: 15_000, bodyTimeoutMs: 2_000 })
})

test('Retry-After lengthens a delay, up to 4 h, and never shortens it', () => {
  assert.is(longest(1, 60_000), 60_000)
  assert.is(longest(6, 1_000), 1_215_000)
  assert.is(shortest(1, 4_000), 4_000)
  assert.is(longest(1, 7 * 24 * 3_600_000), 4 * 3_600_000)
})

test('a delay is never more than a quarter below its step, nor below what the receiver asked for up to 4 h', async () => {
  const unit = fc.double({ min: 0, max: 1, noNaN: true })
  await checkProperty(
    fc.property(fc.integer({ min: 1, max: 10_000 }), fc.nat(10 ** 9), unit, (failures, asked, random) => {
      const { firstMs, factor, longestMs } = usualRetryTimes
      const step = Math.min(longestMs, firstMs * factor ** Math.min(failures - 1, 30))
      const delay = retryDelay(usualRetryTimes, failures, asked, () => random)
      assert.ok(delay >= Math.floor(0.75 * step) && delay >= Math.min(asked, longestMs))
      assert.ok(delay <= Math.max(step, Math.min(asked, longestMs)))
      assert.ok(retryDelay(usualRetryTimes, failures + 1, asked, () => random) >= delay, 'it never falls')
    }),
    { runs: 500 },
  )
})

test('the limits of requests to webhooks are the documented ones', () => {
  assert.equal(usualSendLimits, { timeoutMs: 15_000, bodyTimeoutMs: 2_000 })
  assert.equal(usualSlotLimits, {
    slots: 4,
    slotLifeMs: 30_000,
    failuresToOpen: 10,
    firstPauseMs: 10_000,
    longestPauseMs: 600_000,
    longestWaitMs: 300_000,
  })
  assert.ok(usualSlotLimits.slotLifeMs > usualSendLimits.timeoutMs + usualSendLimits.bodyTimeoutMs)
  assert.equal(usualManifestTimes, { firstDelayMs: 1_000, longestDelayMs: 60_000, giveUpAfterMs: 3_600_000 })
  assert.equal(usualTurnTimes, { firstDelayMs: 1_000, longestDelayMs: 300_000 })
})

test.run()
