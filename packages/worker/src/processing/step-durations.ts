/** Measures the steps of one job, in whole milliseconds. */
export function createStepDurations() {
  const startedAt = performance.now()
  const ms: Record<string, number> = {}
  return {
    /** Runs a step and keeps how long it took, also when it fails. */
    async measure<Result>(step: string, work: () => Promise<Result>): Promise<Result> {
      const began = performance.now()
      try {
        return await work()
      } finally {
        ms[step] = Math.round(performance.now() - began)
      }
    },
    /** All steps so far, and the time since the start as `total`. */
    all(): Record<string, number> {
      return { ...ms, total: Math.round(performance.now() - startedAt) }
    },
  }
}

export type StepDurations = ReturnType<typeof createStepDurations>
