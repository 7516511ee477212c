import type { ProgressStep } from '@millrace/shared/uploads/upload-progress.ts'

/**
 * In ms. Most files take less time than the first; nobody waits for their steps. More often than the second, a person
 * cannot read them.
 */
const delays = { first: 200, between: 250 }

/** Runs a function later. @returns a function that prevents it */
export type Schedule = (run: () => void, delayMs: number) => () => void

/**
 * Follows the steps of one upload's processing, and publishes some of them: none in the first 200 ms, then at most four a
 * second, and always the last one so far.
 *
 * @param deps.publish publishes a step; does not throw
 * @param deps.schedule replaces the system's timers, for tests
 */
export function followProgress(deps: { publish: (step: ProgressStep) => void; schedule?: Schedule }) {
  const { publish, schedule = startTimer } = deps
  let latest: ProgressStep | undefined
  let cancel: (() => void) | undefined = schedule(publishLatest, delays.first)
  let isEnded = false

  function publishLatest(): void {
    cancel = undefined
    if (!latest) return
    publish(latest)
    latest = undefined
    cancel = schedule(publishLatest, delays.between)
  }

  return {
    /** Records the current step. */
    reach(step: ProgressStep): void {
      if (isEnded) return
      latest = step
      if (!cancel) publishLatest()
    },
    /** Publishes nothing any more. */
    end(): void {
      isEnded = true
      cancel?.()
    },
  }
}

function startTimer(run: () => void, delayMs: number): () => void {
  const timer = setTimeout(run, delayMs).unref()
  return () => clearTimeout(timer)
}
