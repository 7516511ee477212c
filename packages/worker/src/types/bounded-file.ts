/** At most so many requests and bytes are read beyond the head. A detector that needs more leaves the type undecided. */
const maxRanges = 16
const maxRangeBytes = 1024 * 1024
/** A range is extended to this size, because the next read is mostly nearby. */
const minRangeBytes = 16 * 1024
/** Limits the steps of detectors: each reads at least once in a step. */
const maxReads = 2000

/** A file whose first bytes are in memory. */
export type TypeSource = {
  /** In bytes. */
  size: number
  /** The first bytes: at least `typeHeadBytes` of them, or the whole file if it is shorter. */
  head: Buffer
  /** Reads from `start` to before `end` (bytes), with a request of its own. */
  readRange(start: number, end: number): Promise<Buffer>
}

/**
 * Gives detectors random access to a file, within limits on requests, bytes and steps. So no claim of a hostile file makes
 * detection long.
 */
export function createBoundedFile({ size, head, readRange }: TypeSource) {
  const ranges = [{ start: 0, bytes: head }]
  let rangeBytes = 0
  let reads = 0
  let failure: { error: unknown } | undefined

  return {
    size,

    /** The error of a range that could not be read. It says nothing about the file. */
    get failure() {
      return failure
    },

    /**
     * Reads a part of the file.
     *
     * @param start,length in bytes; any number, as a file may claim it
     * @returns the part; shorter, or empty, if the file ends before or a limit is reached
     * @throws the error of `readRange`
     */
    async read(start: number, length: number): Promise<Buffer> {
      reads++
      if (!Number.isSafeInteger(start) || start < 0 || !(length > 0)) return Buffer.alloc(0)
      const end = Math.min(size, start + length)
      if (start >= end || reads > maxReads) return Buffer.alloc(0)
      const known = ranges.find((range) => range.start <= start && end <= range.start + range.bytes.length)
      if (known) return known.bytes.subarray(start - known.start, end - known.start)
      const rangeEnd = Math.min(size, Math.max(end, start + minRangeBytes))
      if (ranges.length > maxRanges || rangeBytes + rangeEnd - start > maxRangeBytes) return Buffer.alloc(0)
      try {
        const bytes = await readRange(start, rangeEnd)
        rangeBytes += rangeEnd - start
        ranges.push({ start, bytes })
        return bytes.subarray(0, end - start)
      } catch (error) {
        failure = { error }
        throw error
      }
    },
  }
}

export type BoundedFile = ReturnType<typeof createBoundedFile>
