import { once } from 'node:events'
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { AppError } from '@millrace/shared/service/app-error.ts'

/** Maximum number of burns at the same time. More would only slow each other down. */
const maxBurns = availableParallelism()

/**
 * Creates the function that burns CPU in separate threads, so that the event loop stays free.
 *
 * @param closing ends all burns
 */
export function createBurnCpu(closing: AbortSignal) {
  let running = 0

  /**
   * Keeps one core busy for `ms` milliseconds.
   *
   * @param signal ends the burn earlier
   * @throws AppError `rate_limited` if as many burns are running as there are cores
   */
  return async function burnCpu(ms: number, signal: AbortSignal): Promise<void> {
    if (running >= maxBurns) {
      // Not `overloaded`: status 503 would trigger the alarm on failures of the service.
      throw new AppError('rate_limited', {
        message: `Already running: ${running} CPU burns, the maximum of this instance.`,
        retryAfterSeconds: 1,
      })
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
