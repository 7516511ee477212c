import Type, { type Static } from 'typebox'

/** The upper bound of bucket 0, in ms: nothing that we measure is worth telling apart below it. */
const smallestMs = 0.1
/** Buckets from one power of two to the next, so that no value is off by more than 4.5 %. */
const bucketsPerDoubling = 8
/** A day. What takes longer counts as that. */
const lastBucket = 239

/**
 * Durations as counts in fixed buckets, those without any left out: `[bucket, count]`, in order. Bucket n holds
 * what is above 0.1 ms × 2^((n-1)/8), up to 0.1 ms × 2^(n/8). The buckets are the same everywhere, so histograms
 * of many processes add up to the histogram of all that they did, and its percentiles are true ones.
 */
export const LatencyHistogram = Type.Array(
  Type.Tuple([
    Type.Integer({ minimum: 0, maximum: lastBucket }),
    Type.Integer({ minimum: 1, description: 'how many' }),
  ]),
)
export type LatencyHistogram = Static<typeof LatencyHistogram>

/** @param ms a duration in milliseconds */
export function bucketOf(ms: number): number {
  if (!(ms > smallestMs)) return 0
  return Math.min(lastBucket, Math.ceil(Math.log2(ms / smallestMs) * bucketsPerDoubling))
}

/** The (geometric) middle of a bucket, in milliseconds. */
export function bucketMs(bucket: number): number {
  return smallestMs * 2 ** ((bucket - 0.5) / bucketsPerDoubling)
}

/** Adds histograms up. */
export function mergeHistograms(histograms: Iterable<LatencyHistogram>): LatencyHistogram {
  const sums = new Map<number, number>()
  for (const histogram of histograms) {
    for (const [bucket, count] of histogram) sums.set(bucket, (sums.get(bucket) ?? 0) + count)
  }
  return [...sums].sort(([one], [other]) => one - other)
}

export function countOf(histogram: LatencyHistogram): number {
  return histogram.reduce((sum, [, count]) => sum + count, 0)
}

/** The mean in milliseconds, undefined where nothing was counted. */
export function meanMs(histogram: LatencyHistogram): number | undefined {
  const count = countOf(histogram)
  if (count === 0) return undefined
  return histogram.reduce((sum, [bucket, each]) => sum + bucketMs(bucket) * each, 0) / count
}

/**
 * The duration that a share of all is no longer than (nearest rank).
 *
 * @param share such as 0.95
 * @returns milliseconds, undefined where nothing was counted
 */
export function quantileMs(histogram: LatencyHistogram, share: number): number | undefined {
  let left = Math.max(1, Math.ceil(share * countOf(histogram)))
  for (const [bucket, count] of histogram) {
    left -= count
    if (left <= 0) return bucketMs(bucket)
  }
  return undefined
}
