import { type BudgetHolder, type BudgetShare, createBudget } from '../network/budget.ts'
import { AppError } from '../service/app-error.ts'

const KiB = 1024
const MiB = 1024 * KiB

/** No buffer is larger than this, whatever a client announces. In bytes. */
export const largestBufferBytes = 8 * MiB
/** Smaller buffers cost next to nothing to allocate, so they are not reused. In bytes. */
const smallestReusedBytes = 256 * KiB
/** Limit of all idle buffers, in bytes: a few parts of 8 MiB, for the next uploads. */
const idleLimitBytes = 64 * MiB
/** The default of `waitMs`, in ms. Most files are sent in less, and then their memory is free. */
const defaultWaitMs = 10_000

/** When a client may try again that waited in vain, in seconds. */
const retryAfterSeconds = 5

/** Memory for the bytes of one part. Call `release` or `discard` once it is not used any more; further calls do nothing. */
export type PartBuffer = {
  /** Contains the bytes of its last use. May be longer than what was asked for. */
  memory: Buffer
  /** Makes the memory available again. Never call it while the memory may still be sent to S3. */
  release(): void
  /** Gives the memory up, because a failed request may still be reading it. V8 frees it later. */
  discard(): void
}

/** Who waits for a buffer, and for how long. */
export type BufferRequest = {
  holder: BudgetHolder
  /** Ends the wait. */
  signal: AbortSignal
  /** In ms. After it, the request for a buffer is refused. */
  waitMs?: number | undefined
}

type Waiting = { size: number; holder: BudgetHolder; grant(buffer: PartBuffer): void }

/**
 * Creates the buffers in which this process collects bytes of files until S3 has them. All of them together, the idle ones
 * included, hold at most `maxBytes`. An owner may use half of it and an address a quarter, so that neither can keep the
 * buffers from all others.
 *
 * Buffers are reused. To allocate a new buffer of 8 MiB costs the kernel as much as to send it, page by page. To free it
 * costs V8 a full collection. Together they are half of the cost of a small form.
 *
 * A stream that holds no buffer waits for its first one. It needs no other one to make progress, so streams never wait for
 * each other.
 *
 * @param options.maxBytes limit of all buffers, in bytes
 * @param options.waitMs how long a stream waits for its first buffer, in ms, unless it says so itself
 */
export function createPartBuffers(options: { maxBytes: number; waitMs?: number }) {
  const { maxBytes, waitMs: usualWaitMs = defaultWaitMs } = options
  const atLeastOne = (bytes: number) => Math.max(bytes, Math.min(largestBufferBytes, maxBytes))
  const budget = createBudget({
    unit: 'bytes of files in memory',
    code: 'too_many_uploads',
    limits: { instance: maxBytes, owner: atLeastOne(maxBytes / 2), address: atLeastOne(maxBytes / 4) },
  })
  /** The buffer that was used last is at the end. */
  const idle: ArrayBuffer[] = []
  let idleBytes = 0
  /** In the order of their arrival. */
  const waiting = new Set<Waiting>()

  /** @throws AppError as `budget.take` does */
  function allocate(size: number, holder: BudgetHolder): PartBuffer {
    const share = budget.take(holder, size)
    return createBuffer(memoryOf(size), share)
  }

  function createBuffer(memory: Buffer<ArrayBuffer>, share: BudgetShare): PartBuffer {
    let isHeld = true
    const end = (keep: boolean) => {
      if (!isHeld) return
      isHeld = false
      share.release()
      if (keep) keepIdle(memory.buffer)
      grantWaiting()
    }
    return { memory, release: () => end(true), discard: () => end(false) }
  }

  /** Returns idle memory of this size, or new memory. */
  function memoryOf(size: number): Buffer<ArrayBuffer> {
    const index = idle.findLastIndex(({ byteLength }) => byteLength === size)
    const [reused] = index < 0 ? [] : idle.splice(index, 1)
    if (reused) idleBytes -= size
    freeIdle(maxBytes - budget.used())
    return reused ? Buffer.from(reused) : Buffer.allocUnsafeSlow(size)
  }

  function keepIdle(memory: ArrayBuffer): void {
    if (memory.byteLength < smallestReusedBytes) return
    idle.push(memory)
    idleBytes += memory.byteLength
    freeIdle(Math.min(idleLimitBytes, maxBytes - budget.used()))
  }

  /** Frees idle memory at once, until at most `limitBytes` are left. */
  function freeIdle(limitBytes: number): void {
    while (idleBytes > limitBytes) {
      const [oldest] = idle.splice(0, 1)
      if (!oldest) return
      idleBytes -= oldest.byteLength
      // Without this, the memory would stay until the next full collection.
      oldest.transfer(0)
    }
  }

  /**
   * Gives free memory to those who wait, in their order. Who is over a limit of its own does not hold up the others, but
   * small buffers do not overtake a large one for which the instance has no room yet.
   */
  function grantWaiting(): void {
    for (const waiter of waiting) {
      const shortage = budget.shortage(waiter.holder, waiter.size)
      if (shortage === 'instance') return
      if (shortage === 'holder') continue
      waiting.delete(waiter)
      waiter.grant(allocate(waiter.size, waiter.holder))
    }
  }

  /** Returns the error of a request that waited for too long. */
  function refusalOf({ size, holder }: Waiting): unknown {
    try {
      budget.take(holder, size).release()
    } catch (error) {
      return error
    }
    // There is room, but not yet for all who came earlier.
    return new AppError('overloaded', { limit: maxBytes, retryAfterSeconds })
  }

  /** Whether a new request must wait, because memory is short or others wait for memory of the instance. */
  function mustWait(size: number, holder: BudgetHolder): boolean {
    if (budget.shortage(holder, size) !== undefined) return true
    for (const waiter of waiting) {
      if (budget.shortage(waiter.holder, waiter.size) === 'instance') return true
    }
    return false
  }

  return {
    /**
     * Waits for a buffer. Call it only if the stream holds none yet: otherwise streams may wait for each other.
     *
     * @param bytes how many bytes it must hold, at most 8 MiB
     * @throws AppError `too_many_uploads` if the owner or the address holds too many buffers for the whole time,
     *   `overloaded` if all together do; the signal's reason
     */
    async acquire(bytes: number, { holder, signal, waitMs }: BufferRequest): Promise<PartBuffer> {
      signal.throwIfAborted()
      const size = sizeOfBuffer(bytes)
      if (!mustWait(size, holder)) return allocate(size, holder)
      const { promise, resolve, reject } = Promise.withResolvers<PartBuffer>()
      const waiter = { size, holder, grant: resolve }
      // Not later: a buffer that is granted after the refusal would be lost.
      const refuse = (error: unknown) => {
        waiting.delete(waiter)
        reject(error)
      }
      const timer = setTimeout(() => refuse(refusalOf(waiter)), waitMs ?? usualWaitMs)
      const onAbort = () => refuse(signal.reason)
      signal.addEventListener('abort', onAbort)
      waiting.add(waiter)
      try {
        return await promise
      } finally {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
      }
    },

    /** Returns another buffer for a stream that holds one, or undefined if memory is short. */
    acquireAnother(bytes: number, holder: BudgetHolder): PartBuffer | undefined {
      const size = sizeOfBuffer(bytes)
      return waiting.size > 0 || mustWait(size, holder) ? undefined : allocate(size, holder)
    },

    /** Returns how many bytes the buffers take, with the idle ones. */
    heldBytes(): number {
      return budget.used() + idleBytes
    },
  }
}

export type PartBuffers = ReturnType<typeof createPartBuffers>

/** Rounds up to a power of two, because memory is reused only for buffers of the same size. */
function sizeOfBuffer(bytes: number): number {
  if (bytes > largestBufferBytes) throw new Error(`A buffer holds at most ${largestBufferBytes} bytes.`)
  if (bytes < smallestReusedBytes) return bytes
  return 2 ** Math.ceil(Math.log2(bytes))
}
