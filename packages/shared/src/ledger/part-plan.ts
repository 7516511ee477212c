const MiB = 1024 ** 2

/** Files up to this size go up as one form (bytes); larger ones in parts. */
export const formLimitBytes = 8 * MiB

/** S3 takes at most this many parts, and no part but the last under 5 MiB (S3 API, "Multipart upload limits"). */
export const partLimit = 10_000
const smallestPartBytes = 8 * MiB

/** How a file is cut: `partSize` in bytes, the last part may be shorter. */
export type PartPlan = { partSize: number; partCount: number }

/**
 * Cuts a file into parts: of 8 MiB, or of as many whole MiB as it takes to stay within S3's 10,000 parts.
 *
 * @param size of the file, bytes, at least 1
 */
export function planParts(size: number): PartPlan {
  const needed = Math.ceil(size / partLimit / MiB) * MiB
  const partSize = Math.max(smallestPartBytes, needed)
  return { partSize, partCount: Math.ceil(size / partSize) }
}

/** Up to this size Uppy sends a file as one form unless it is told otherwise (`shouldUseMultipart`), bytes. */
export const uppyFormLimitBytes = 100 * MiB

/**
 * Cuts a file as `@uppy/aws-s3` does unless it is told otherwise (`getChunkSize`): into parts of 5 MiB, or of
 * as many bytes as it takes to stay within S3's 10,000 parts.
 *
 * @param size of the file, bytes, at least 1
 */
export function planUppyParts(size: number): PartPlan {
  const partSize = Math.max(5 * MiB, Math.ceil(size / partLimit))
  return { partSize, partCount: Math.ceil(size / partSize) }
}

/** Parts of a file of unknown size keep the smallest size for this long: 7.8 GiB. */
const evenParts = 1000
const growthBytes = 132 * 1024

/**
 * How to cut a file whose size shows only at its end. Where 10,000 parts of 8 MiB do not reach the limit,
 * parts grow: 8 MiB for the first 1,000, then each 132 KiB larger than the one before. So 10,000 parts hold
 * 5 TiB (the last has 1.1 GiB), and the memory that a part takes stays small for all but the largest files.
 *
 * @param limitBytes the largest that the file can be
 * @returns the size of a part but the last, bytes
 */
export function planGrowingParts(limitBytes: number): (partNumber: number) => number {
  if (limitBytes <= smallestPartBytes * partLimit) return () => smallestPartBytes
  return (partNumber) => smallestPartBytes + Math.max(0, partNumber - evenParts) * growthBytes
}
