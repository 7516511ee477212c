/** What may lie idle: a few parts of 8 MiB, for the uploads that come next. In bytes. */
const idleLimitBytes = 64 * 1024 ** 2

/**
 * Lends memory to collect parts in. New memory of that size costs the kernel as much as sending it, page by
 * page, and V8 a full collection to be rid of it: half of what a small form cost.
 */
export function createPartBuffers() {
  const idle: Buffer[] = []
  let idleBytes = 0

  return {
    /** @returns a buffer of this many bytes, with whatever it had in it before */
    take(bytes: number): Buffer {
      const index = idle.findIndex((buffer) => buffer.length === bytes)
      const [found] = index < 0 ? [] : idle.splice(index, 1)
      if (!found) return Buffer.allocUnsafeSlow(bytes)
      idleBytes -= bytes
      return found
    },

    /** Takes one back that nobody reads any more. One that may still be on its way to S3 is not given back. */
    giveBack(buffer: Buffer): void {
      if (idleBytes + buffer.length > idleLimitBytes) return
      idle.push(buffer)
      idleBytes += buffer.length
    },
  }
}
