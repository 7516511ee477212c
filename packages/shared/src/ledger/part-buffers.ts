/** Limit of all idle buffers, in bytes: a few parts of 8 MiB, for the next uploads. */
const idleLimitBytes = 64 * 1024 ** 2
/** Smaller buffers cost next to nothing to allocate, so they are not reused. In bytes. */
const smallestReusedBytes = 256 * 1024

/**
 * Pools the buffers in which parts are collected. To allocate a new buffer of that size costs the kernel as
 * much as to send it, page by page. To free it costs V8 a full collection. Together they are half of the cost
 * of a small form.
 */
export function createPartBuffers() {
  const idle: Buffer[] = []
  let idleBytes = 0

  /** Returns an idle buffer of exactly this size, or a new one. */
  function acquireWhole(bytes: number): Buffer {
    const index = idle.findIndex((buffer) => buffer.length === bytes)
    const [reused] = index < 0 ? [] : idle.splice(index, 1)
    if (!reused) return Buffer.allocUnsafeSlow(bytes)
    idleBytes -= bytes
    return reused
  }

  return {
    /**
     * Returns a buffer. It contains the bytes of its last use.
     *
     * @param bytes length of the buffer
     * @param wholeBytes length of the underlying memory, which is the size of a whole part. Memory of the
     *   size of a file's last, shorter part would fit no other part
     */
    acquire(bytes: number, wholeBytes = bytes): Buffer {
      return bytes < smallestReusedBytes
        ? Buffer.allocUnsafeSlow(bytes)
        : acquireWhole(wholeBytes).subarray(0, bytes)
    },

    /** Makes a buffer's memory available again. Never call it while the buffer may still be sent to S3. */
    release({ buffer: memory }: Buffer): void {
      const { byteLength } = memory
      if (byteLength < smallestReusedBytes || idleBytes + byteLength > idleLimitBytes) return
      idle.push(Buffer.from(memory))
      idleBytes += byteLength
    },
  }
}
