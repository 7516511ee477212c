/**
 * After how many other files that passed, a file on which a scanner failed before is at fault. More than one: a scanner
 * that is overloaded fails for some files and not for others.
 */
const passesBetween = 5

/** How many files are remembered. */
const maxFiles = 1_000

/**
 * Tells a file that makes a scanner fail from a scanner that fails. In an outage a file waits however long it takes; but a
 * file on which the scanner fails again, while it passed others in between, must not be sent forever: it may be what ends
 * the scanner.
 */
export function createFailingFiles() {
  /** Files by key, with the number of passes at their last failure. The oldest is first. */
  const failed = new Map<string, number>()
  let passes = 0

  return {
    /** Records that the scanner gave a verdict on a file. */
    passed(key: string): void {
      passes += 1
      failed.delete(key)
    },

    /** Records that the scanner failed on a file. @returns whether the file is at fault */
    failed(key: string): boolean {
      const before = failed.get(key)
      if (before !== undefined && passes - before < passesBetween) return false
      failed.delete(key)
      failed.set(key, passes)
      const [oldest] = failed.keys()
      if (failed.size > maxFiles && oldest !== undefined) failed.delete(oldest)
      return before !== undefined
    },
  }
}

export type FailingFiles = ReturnType<typeof createFailingFiles>
