/** Limit of all idle buffers, in bytes: a few parts of 8 MiB, for the next uploads. */
const idleLimitBytes = 64 * 1024 ** 2
/** Smaller buffers cost next to nothing to allocate, so they are not reused. In bytes. */
const smallestReusedBytes = 256 * 1024

/**
 * Lends memory to collect parts in. New memory of that size costs the kernel as much as sending it, page by
 * page, and costs V8 a full collection to free it: together half of the cost of a small form.
 */
export function createPartBuffers() {
  const idle: Buffer[] = []
  let idleBytes = 0

  /** Returns whole buffers only, so that the next part can use them. */
  function takeWhole(bytes: number): Buffer {
    const index = idle.findIndex((buffer) => buffer.length === bytes)
    const [found] = index < 0 ? [] : idle.splice(index, 1)
    if (!found) return Buffer.allocUnsafeSlow(bytes)
    idleBytes -= bytes
    return found
  }

  return {
    /**
     * Lends a buffer. It contains the bytes of its last use.
     *
     * @param bytes its length
     * @param wholeBytes length of the memory that it is cut from: that of a whole part, or the last, shorter part of
     *   a file would leave a buffer that fits no other part
     */
    take(bytes: number, wholeBytes = bytes): Buffer {
      return bytes < smallestReusedBytes
        ? Buffer.allocUnsafeSlow(bytes)
        : takeWhole(wholeBytes).subarray(0, bytes)
    },

    /** Takes a buffer back that is not read any more. Never give back one that may still be on its way to S3. */
    giveBack({ buffer: memory }: Buffer): void {
      const { byteLength } = memory
      if (byteLength < smallestReusedBytes || idleBytes + byteLength > idleLimitBytes) return
      idle.push(Buffer.from(memory))
      idleBytes += byteLength
    },
  }
}
