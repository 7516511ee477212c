import Type, { type Static } from 'typebox'

/** The upper bound of bucket 0, in ms. Shorter durations need not be distinguished. */
const smallestMs = 0.1
/** Buckets per power of two. The error of a value is at most 4.5 %. */
const bucketsPerDoubling = 8
/** One day. Longer durations count as this bucket. */
const lastBucket = 239

/**
 * Durations as counts in fixed buckets, without empty buckets: `[bucket, count]`, in order. Bucket n counts durations
 * above 0.1 ms × 2^((n-1)/8), up to 0.1 ms × 2^(n/8). All processes use the same buckets, so their histograms add up
 * to the fleet's, and its percentiles are correct (decision 0015).
 */
export const LatencyHistogram = Type.Array(
  Type.Tuple([
    Type.Integer({ minimum: 0, maximum: lastBucket }),
    Type.Integer({ minimum: 1, description: 'count' }),
  ]),
)
export type LatencyHistogram = Static<typeof LatencyHistogram>

/** Returns the bucket of a duration. @param ms the duration, in ms */
export function bucketOf(ms: number): number {
  if (!(ms > smallestMs)) return 0
  return Math.min(lastBucket, Math.ceil(Math.log2(ms / smallestMs) * bucketsPerDoubling))
}

/** Returns the geometric mean of a bucket's bounds, in ms. */
export function bucketMs(bucket: number): number {
  return smallestMs * 2 ** ((bucket - 0.5) / bucketsPerDoubling)
}

/** Returns the sum of histograms. */
export function mergeHistograms(histograms: Iterable<LatencyHistogram>): LatencyHistogram {
  const sums = new Map<number, number>()
  for (const histogram of histograms) {
    for (const [bucket, count] of histogram) sums.set(bucket, (sums.get(bucket) ?? 0) + count)
  }
  return [...sums].sort(([bucketA], [bucketB]) => bucketA - bucketB)
}

export function countOf(histogram: LatencyHistogram): number {
  return histogram.reduce((sum, [, count]) => sum + count, 0)
}

/** Returns the mean in ms, or undefined if the histogram is empty. */
export function meanMs(histogram: LatencyHistogram): number | undefined {
  const count = countOf(histogram)
  if (count === 0) return undefined
  return histogram.reduce((sum, [bucket, inBucket]) => sum + bucketMs(bucket) * inBucket, 0) / count
}

/**
 * Returns a quantile (nearest-rank method).
 *
 * @param share for example 0.95
 * @returns ms, or undefined if the histogram is empty
 */
export function quantileMs(histogram: LatencyHistogram, share: number): number | undefined {
  let rank = Math.max(1, Math.ceil(share * countOf(histogram)))
  for (const [bucket, count] of histogram) {
    rank -= count
    if (rank <= 0) return bucketMs(bucket)
  }
  return undefined
}

/** The usual quantiles of a tier or an instance. */
export const Percentiles = Type.Union(
  [Type.Object({ p50: Type.Number(), p95: Type.Number(), p99: Type.Number() }), Type.Null()],
  {
    description:
      'in ms, over the last minute, of requests (API) or jobs (workers); null if there were none. ' +
      'Computed from all durations of the tier or instance; the error is at most 4.5 %',
  },
)
export type Percentiles = Static<typeof Percentiles>

/** Returns the usual quantiles. */
export function percentilesOf(histogram: LatencyHistogram): Percentiles {
  const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => quantileMs(histogram, share))
  if (p50 === undefined || p95 === undefined || p99 === undefined) return null
  return { p50, p95, p99 }
}
