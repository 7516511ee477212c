const MiB = 1024 ** 2

/** Files up to this size are sent as one form, larger files in parts. In bytes. */
export const formLimitBytes = 8 * MiB

/**
 * S3 accepts at most this many parts of a file. Only the last part may have less than 5 MiB (S3 API,
 * "Multipart upload limits").
 */
export const partLimit = 10_000
const smallestPartBytes = 8 * MiB

/** How a file is divided into parts: `partSize` in bytes; the last part may be shorter. */
export type PartPlan = { partSize: number; partCount: number }

/** Returns the size of a part, in bytes. @param size of the file, in bytes */
export function partBytes({ partSize, partCount }: PartPlan, size: number, partNumber: number): number {
  return partNumber < partCount ? partSize : size - partSize * (partCount - 1)
}

/**
 * Divides a file into parts of 8 MiB. If that exceeds S3's 10,000 parts, the parts have the smallest
 * sufficient number of whole MiB.
 *
 * @param size of the file, in bytes, at least 1
 */
export function planParts(size: number): PartPlan {
  const minPartBytes = Math.ceil(size / partLimit / MiB) * MiB
  const partSize = Math.max(smallestPartBytes, minPartBytes)
  return { partSize, partCount: Math.ceil(size / partSize) }
}

/** Up to this size Uppy by default sends a file as one form (option `shouldUseMultipart`). In bytes. */
export const uppyFormLimitBytes = 100 * MiB

/**
 * Divides a file as `@uppy/aws-s3` does by default (option `getChunkSize`): into parts of 5 MiB. If that
 * exceeds S3's 10,000 parts, the parts have the smallest sufficient number of bytes.
 *
 * @param size of the file, in bytes, at least 1
 */
export function planUppyParts(size: number): PartPlan {
  const partSize = Math.max(5 * MiB, Math.ceil(size / partLimit))
  return { partSize, partCount: Math.ceil(size / partSize) }
}

/** Size of each part except the last of a file of unknown size, in bytes. Each is collected in memory. */
export const bufferedPartBytes = smallestPartBytes

/**
 * Limit of a file of unknown size, in bytes (78 GiB): S3's 10,000 parts. Larger parts would have to be collected in memory,
 * because S3 must know the size of a part before its first byte.
 */
export const unknownSizeLimitBytes = bufferedPartBytes * partLimit

/** Size of each part except the last of a file of known size above 5 GiB, in bytes. They are streamed, not collected. */
export const streamedPartBytes = 1024 * MiB

/** This many parts of a tus upload have the smallest size: together 7.8 GiB. */
const evenParts = 1000
const growthBytes = 132 * 1024

/** How a tus upload is divided into parts. */
export type GrowingPlan = {
  /** Returns the size of a part, unless it is the last, in bytes. */
  partBytes: (partNumber: number) => number
  /** The number of the first parts that have the same size, which is small enough to collect them in memory. */
  evenParts: number
}

/**
 * Plans the parts of a tus upload. If 10,000 parts of 8 MiB are less than the file, the parts grow: the first 1,000 have
 * 8 MiB, and each of the others is 132 KiB larger than the one before. So 10,000 parts hold 5 TiB (the last has 1.1 GiB),
 * and only the largest files have parts that cannot be collected in memory.
 *
 * An upload that began keeps its plan, whichever version receives its next bytes. So the plan must not change.
 *
 * @param fileBytes size of the file, in bytes
 */
export function planGrowingParts(fileBytes: number): GrowingPlan {
  if (fileBytes <= smallestPartBytes * partLimit) {
    return { partBytes: () => smallestPartBytes, evenParts: partLimit }
  }
  return {
    partBytes: (partNumber) => smallestPartBytes + Math.max(0, partNumber - evenParts) * growthBytes,
    evenParts,
  }
}
