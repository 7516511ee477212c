const MiB = 1024 ** 2

/** Files up to this size go up as one form (bytes); larger ones in parts. */
export const formLimitBytes = 8 * MiB

/** S3 takes at most this many parts, and no part but the last under 5 MiB (S3 API, "Multipart upload limits"). */
export const partLimit = 10_000
const smallestPartBytes = 8 * MiB

/**
 * Cuts a file into parts: of 8 MiB, or of as many whole MiB as it takes to stay within S3's 10,000 parts.
 *
 * @param size of the file, bytes, at least 1
 */
export function planParts(size: number): { partSize: number; partCount: number } {
  const needed = Math.ceil(size / partLimit / MiB) * MiB
  const partSize = Math.max(smallestPartBytes, needed)
  return { partSize, partCount: Math.ceil(size / partSize) }
}
