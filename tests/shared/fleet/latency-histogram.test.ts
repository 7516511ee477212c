import {
  bucketMs,
  bucketOf,
  countOf,
  type LatencyHistogram,
  meanMs,
  mergeHistograms,
  quantileMs,
} from '@millrace/shared/fleet/latency-histogram.ts'
import { createRecentActivity } from '@millrace/shared/fleet/recent-activity.ts'
import * as assert from 'uvu/assert'
import { suite } from '../../support/suite.ts'

const test = suite('latency histogram')

function histogramOf(durations: number[]): LatencyHistogram {
  return mergeHistograms(durations.map((ms) => [[bucketOf(ms), 1]]))
}

const isNear = (found: number | undefined, ms: number) =>
  assert.ok(found !== undefined && Math.abs(found / ms - 1) <= 0.045, `${found} is not near ${ms}`)

test('buckets are exact to 4.5 %, from a tenth of a millisecond to a day', () => {
  for (let ms = 0.11; ms < 80_000_000; ms *= 1.013) isNear(bucketMs(bucketOf(ms)), ms)
  for (const odd of [0, -1, Number.NaN]) assert.is(bucketOf(odd), 0)
  assert.is(bucketOf(Number.POSITIVE_INFINITY), bucketOf(1e12))
})

test('percentiles of merged histograms are those of all values, not the average of each', () => {
  // One instance answers 990 in 10 ms, the other 10 in 1 s: the average of both 95th percentiles is half a second.
  const fast = histogramOf(Array.from({ length: 990 }, () => 10))
  const slow = histogramOf(Array.from({ length: 10 }, () => 1000))
  const all = mergeHistograms([fast, slow])
  assert.is(countOf(all), 1000)
  isNear(quantileMs(all, 0.95), 10)
  isNear(quantileMs(all, 0.99), 10)
  isNear(quantileMs(all, 0.991), 1000)
  isNear(meanMs(all), 19.9)
})

test('percentiles equal those of a sorted list, to 4.5 %', () => {
  // A fixed sequence that looks like chance (Lehmer, 1951).
  let seed = 42
  const durations = Array.from({ length: 5_000 }, () => {
    seed = (seed * 48_271) % 2_147_483_647
    return 5 / (seed / 2_147_483_647) ** 1.5
  })
  const parts = [durations.slice(0, 100), durations.slice(100, 3_000), durations.slice(3_000)]
  const merged = mergeHistograms(parts.map(histogramOf))
  const sorted = durations.toSorted((one, other) => one - other)
  for (const share of [0, 0.5, 0.95, 0.99, 1]) {
    isNear(quantileMs(merged, share), sorted[Math.max(0, Math.ceil(share * 5_000) - 1)] ?? 0)
  }
})

test('an empty histogram has no mean and no percentile', () => {
  assert.is(quantileMs([], 0.5), undefined)
  assert.is(meanMs([]), undefined)
})

test('recent activity covers the last minute only', () => {
  let now = 5_000
  const activity = createRecentActivity(() => now)
  const request = (ms: number, how: 'measured' | 'unmeasured' = 'measured') => {
    const end = activity.begin()
    now += ms
    return end(how)
  }
  assert.is(request(200), 200)
  request(1_000, 'unmeasured')
  assert.is(countOf(activity.latency()), 1)
  now = 55_000
  const end = activity.begin()
  assert.is(activity.active(), 1)
  now = 59_000
  end('measured')
  assert.is(activity.active(), 0)
  assert.is(countOf(activity.latency()), 2)
  // Two activities in 54 s: the time since the start.
  assert.is(activity.perSecond(), 2 / 54)
  // The window covers five whole slices of 10 s and the current one so far: 55 s.
  now = 75_000
  assert.is(activity.perSecond(), 1 / 55)
  assert.is(countOf(activity.latency()), 1)
  isNear(quantileMs(activity.latency(), 0.5), 4_000)
  now = 200_000
  assert.equal(activity.latency(), [])
  assert.is(activity.perSecond(), 0)
})

test('recent activity counts errors of the last minute, of open streams as well', () => {
  let now = 0
  const activity = createRecentActivity(() => now)
  activity.begin()('measured', 'error')
  activity.begin()('unmeasured', 'error')
  activity.begin()('measured')
  now = 30_000
  assert.is(activity.errorsPerMinute(), 4)
  now = 59_999
  assert.is(activity.errorsPerMinute(), (2 * 60_000) / 59_999)
  now = 60_000
  assert.is(activity.errorsPerMinute(), 0)
  activity.begin()('measured', 'error')
  now = 115_000
  assert.is(activity.errorsPerMinute(), 60_000 / 55_000)
  now = 120_000
  assert.is(activity.errorsPerMinute(), 0)
})

test.run()
