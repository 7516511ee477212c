import { createMinimumRate, type TransferSample } from '@millrace/shared/network/minimum-rate.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('minimum rate')
const windowMs = 60_000
const stepMs = 30_000

/** Returns the number of the first step after which the client is too slow, or undefined. */
function endsAfter(steps: { bytes: number; isUnread?: boolean }[], minBytesPerSecond = 1024) {
  const start: TransferSample = { nowMs: 0, bytes: 0, isUnread: false }
  const judge = createMinimumRate({ minBytesPerSecond, windowMs, periodMs: stepMs, start })
  let bytes = 0
  const index = steps.findIndex(({ bytes: newBytes, isUnread = false }, step) => {
    bytes += newBytes
    return judge({ nowMs: (step + 1) * stepMs, bytes, isUnread }) !== 'fine'
  })
  return index < 0 ? undefined : index + 1
}

const repeat = (count: number, step: { bytes: number; isUnread?: boolean }) =>
  Array.from({ length: count }, () => step)

test('a client that sends a byte now and then is too slow after one window', () => {
  assert.is(endsAfter(repeat(10, { bytes: 1 })), 2)
})

test('a client that sent much at once and then a byte now and then is too slow after the next window', () => {
  assert.is(endsAfter([{ bytes: 8_000_000 }, ...repeat(10, { bytes: 1 })]), 4)
})

test('a client at the minimum rate is never too slow, however unevenly it sends', () => {
  assert.is(endsAfter(repeat(10, { bytes: 1024 * 30 })), undefined)
  assert.is(
    endsAfter(Array.from({ length: 10 }, (_, step) => ({ bytes: step % 2 ? 0 : 1024 * 60 }))),
    undefined,
  )
})

test('time in which received bytes wait to be read does not count against the client', () => {
  const isUnread = true
  assert.is(endsAfter(repeat(100, { bytes: 0, isUnread })), undefined)
  assert.is(endsAfter([{ bytes: 0 }, ...repeat(100, { bytes: 0, isUnread })]), undefined)
  assert.is(endsAfter([...repeat(3, { bytes: 65_536, isUnread }), ...repeat(10, { bytes: 1 })]), 6)
})

test('a window without any byte is silent, not slow', () => {
  const start: TransferSample = { nowMs: 0, bytes: 0, isUnread: false }
  const judge = createMinimumRate({ minBytesPerSecond: 1024, windowMs, periodMs: stepMs, start })
  const judgements = [1, 2, 3, 4].map((step) =>
    judge({ nowMs: step * stepMs, bytes: step < 3 ? 0 : 10, isUnread: false }),
  )
  assert.equal(judgements, ['fine', 'silent', 'fine', 'slow'])
})

test('a long pause of this process counts as two periods', () => {
  const start: TransferSample = { nowMs: 0, bytes: 0, isUnread: false }
  const judge = createMinimumRate({ minBytesPerSecond: 1024, windowMs, periodMs: windowMs / 10, start })
  assert.is(judge({ nowMs: 100 * windowMs, bytes: 10, isUnread: false }), 'fine')
})

test('a rate of 0 ends no client', () => {
  assert.is(endsAfter(repeat(100, { bytes: 0 }), 0), undefined)
})

test.run()
