/** Measures the steps of one job, in whole milliseconds. */
export function createStepDurations() {
  const startedAt = performance.now()
  const ms: Record<string, number> = {}
  return {
    /** Runs a step and records its duration, also if it fails. */
    async measure<Result>(step: string, run: () => Promise<Result>): Promise<Result> {
      const stepStartedAt = performance.now()
      try {
        return await run()
      } finally {
        ms[step] = Math.round(performance.now() - stepStartedAt)
      }
    },
    /** Returns the durations of all steps so far, and the time since the start as `total`. */
    all(): Record<string, number> {
      return { ...ms, total: Math.round(performance.now() - startedAt) }
    },
  }
}

export type StepDurations = ReturnType<typeof createStepDurations>
