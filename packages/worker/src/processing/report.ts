import type { Evidence } from '@millrace/shared/ledger/evidence.ts'
import type { Findings } from '@millrace/shared/uploads/upload.ts'

type Check = Evidence['checks'][number]
type Step = Evidence['steps'][number]

/**
 * Collects what one attempt finds out about a file, step by step. So a rejected file has the findings up to its rejection.
 */
export function createReport() {
  const startedAt = performance.now()
  const findings: Findings = {}
  const checks: Check[] = []
  const steps: Step[] = []
  let typeFoundBy: string | undefined

  function warn(sentence: string): void {
    findings.warnings = [...(findings.warnings ?? []), sentence]
  }

  return {
    findings,

    /** Adds findings. Warnings are added to those so far. */
    add({ warnings = [], ...found }: Findings): void {
      Object.assign(findings, found)
      for (const sentence of warnings) warn(sentence)
    },

    /** Records how the type was found. */
    foundTypeBy(way: string): void {
      typeFoundBy = way
    },

    /** Records what is odd about a file that is whole, in one sentence for its owner. */
    warn,

    /** Records a check and its result. */
    check(name: string, result: Check['result'], detail?: string): void {
      checks.push({ name, result, ...(detail !== undefined && { detail }) })
    },

    /** Runs a step and records its duration, also if it fails. */
    async measure<Result>(name: string, run: () => Promise<Result>): Promise<Result> {
      const stepStartedAt = performance.now()
      try {
        return await run()
      } finally {
        steps.push({ name, ms: Math.round(performance.now() - stepStartedAt) })
      }
    },

    /** Returns the durations of all steps so far by name, and the time since the start as `total`, in ms. */
    durations(): Record<string, number> {
      const ms = Object.fromEntries(steps.map((step) => [step.name, step.ms]))
      return { ...ms, total: Math.round(performance.now() - startedAt) }
    },

    /** Returns the evidence so far. */
    evidence(): Evidence {
      return {
        ...(typeFoundBy !== undefined && { typeFoundBy }),
        checks,
        limits: {},
        tools: {},
        steps,
      }
    },
  }
}

export type Report = ReturnType<typeof createReport>
