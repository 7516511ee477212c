/** A file is read in pieces of at most this size, in bytes. */
export const maxRangeBytes = 8 * 1024 ** 2

/**
 * How much of one file its examination may read, in requests and bytes. A video of ten hours has an index of some 50 MB.
 */
export const rangeLimits = { requests: 500, bytes: 64 * 1024 ** 2 } as const

/** The file's examination may not read more of it. */
export class RangeRefusedError extends Error {
  override readonly name = 'RangeRefusedError'
}

/**
 * Reads a part of a file, from `start` to before `end`, in bytes.
 * @throws RangeRefusedError
 */
export type ReadFileRange = (start: number, end: number) => Buffer

/**
 * Counts what is read of one file.
 * @param size of the file, in bytes
 * @returns whether a range may be read; once one was refused, all are
 */
export function createRangeBudget(size: number): (start: number, end: number) => boolean {
  let requests = 0
  let bytes = 0
  return (start, end) => {
    requests += 1
    bytes += end - start
    const isInFile = start >= 0 && start < end && end <= size
    return (
      isInFile &&
      end - start <= maxRangeBytes &&
      requests <= rangeLimits.requests &&
      bytes <= rangeLimits.bytes
    )
  }
}
