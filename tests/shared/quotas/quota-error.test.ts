import { quotaError } from '@millrace/shared/quotas/quota-error.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('error of a refused reservation')
const midnight = Date.UTC(2026, 10, 28)

/** Returns the error of a moment. The clock is the test's. */
function errorAt(timeMs: number, refusal: Parameters<typeof quotaError>[0], bytes: number) {
  const { now } = Date
  Date.now = () => timeMs
  try {
    return quotaError(refusal, bytes)
  } finally {
    Date.now = now
  }
}

test('whatever may fit tomorrow may be sent again at midnight UTC, to the second', () => {
  const refusal = { by: 'bytesPerDay' as const, limit: 100, remaining: 40 }
  for (const [timeMs, seconds] of [
    [midnight - 1, 1],
    [midnight - 1000, 1],
    [midnight - 1001, 2],
    [midnight - 3_600_000, 3600],
    [midnight, 86_400],
  ] as const) {
    const { code, retryAfterSeconds } = errorAt(timeMs, refusal, 41)
    assert.equal([code, retryAfterSeconds], ['quota_exhausted_today', seconds], String(timeMs))
  }
})

test('whatever fits on no day is refused for good', () => {
  for (const [by, limit, bytes, code] of [
    ['bytesPerDay', 100, 100, 'quota_exhausted_today'],
    ['bytesPerDay', 100, 101, 'quota_exceeded'],
    ['filesPerDay', 1, 500, 'quota_exhausted_today'],
    ['filesPerDay', 0, 1, 'quota_exceeded'],
    ['bytesTotal', 100, 1, 'quota_exceeded'],
    ['filesTotal', 100, 1, 'quota_exceeded'],
  ] as const) {
    const error = errorAt(midnight, { by, limit, remaining: 0 }, bytes)
    assert.equal(error.code, code, `${by} ${limit} ${bytes}`)
    assert.is(error.retryAfterSeconds !== undefined, code === 'quota_exhausted_today')
  }
})

test('the sentence tells whose quota it is, what it counts and what is left', () => {
  const { message } = errorAt(
    midnight,
    { by: 'filesPerDay', limit: 3, remaining: 2, holder: 'one address' },
    1,
  )
  assert.is(message, 'The quota of one address is 3 files per day; 2 are left.')
})

test.run()
