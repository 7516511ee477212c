import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { AppError } from '@millrace/shared/service/app-error.ts'

/** More at once would only slow each other down. */
const atOnce = availableParallelism()

/**
 * Makes this process use CPU, in threads of their own: the event loop stays free.
 *
 * @param closing ends what is under way
 */
export function createBurnCpu(closing: AbortSignal) {
  let running = 0

  /**
   * @param ms how long, in milliseconds
   * @param signal ends it earlier
   * @throws AppError `rate_limited` where as many are at it as there are cores
   */
  return async function burnCpu(ms: number, signal: AbortSignal): Promise<void> {
    if (running >= atOnce) {
      // Not `overloaded`: an alarm on failures of the service should not go off.
      throw new AppError('rate_limited', { message: `${atOnce} are at it already.`, retryAfterSeconds: 1 })
    }
    const stopped = AbortSignal.any([signal, closing])
    if (stopped.aborted) return
    running += 1
    try {
      const thread = new Worker(new URL('cpu-burn-thread.ts', import.meta.url), { workerData: ms })
      const stop = () => void thread.terminate()
      stopped.addEventListener('abort', stop, { once: true })
      try {
        await once(thread, 'exit')
      } finally {
        stopped.removeEventListener('abort', stop)
      }
    } finally {
      running -= 1
    }
  }
}

export type BurnCpu = ReturnType<typeof createBurnCpu>
