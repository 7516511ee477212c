import { setTimeout as delay } from 'node:timers/promises'

/**
 * Repeats work with pauses, one run at a time, until it is stopped. A run that fails is tried again after the usual pause.
 *
 * @param deps.run gets the signal that aborts when the work is stopped. It returns the pause until the next run, in ms, or
 *   undefined for the usual one
 * @param deps.pauseMs the usual pause, in ms
 * @param deps.onFailed gets the error of a run, except of one that failed because it was stopped
 */
export function createRepeatedWork(deps: {
  run: (signal: AbortSignal) => Promise<number | undefined>
  pauseMs: number
  onFailed: (error: unknown) => void
}) {
  const { run, pauseMs, onFailed } = deps
  const stopping = new AbortController()
  const { signal } = stopping
  let loop: Promise<void> = Promise.resolve()

  async function repeat(): Promise<void> {
    while (!signal.aborted) {
      const nextMs = await run(signal).catch((error: unknown) => {
        if (!signal.aborted) onFailed(error)
        return undefined
      })
      await delay(nextMs ?? pauseMs, undefined, { signal }).catch(() => {})
    }
  }

  return {
    start(): void {
      loop = repeat()
    },
    /** Aborts the signal, and waits until the run has ended. */
    async stop(): Promise<void> {
      stopping.abort()
      await loop
    },
  }
}
