import { retryDelay, usualRetryTimes } from '@millrace/worker/webhooks/retry-delay.ts'
import { usualSendLimits } from '@millrace/worker/webhooks/send-webhook.ts'
import * as assert from 'uvu/assert'
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

test.run()
