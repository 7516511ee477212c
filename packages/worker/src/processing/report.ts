import type { Evidence } from '@millrace/shared/ledger/evidence.ts'
import { AppError } from '@millrace/shared/service/app-error.ts'
import { noTracing, type Tracing } from '@millrace/shared/tracing/tracing.ts'
import type { Findings } from '@millrace/shared/uploads/upload.ts'
import type { ProgressStep } from '@millrace/shared/uploads/upload-progress.ts'

type Check = Evidence['checks'][number]
type Step = Evidence['steps'][number]

/** What a step used: CPU time of the decoder in ms, bytes read or written. */
type Cost = Pick<Step, 'cpuMs' | 'bytes'>
export type UseInStep = (cost: Cost) => void

/** The length of a check's detail, in characters. It may be the text of a library, and manifests stay small. */
const maxDetailLength = 300

/**
 * Collects what one attempt finds out about a file, step by step. So a rejected file has the findings up to its rejection.
 *
 * @param options.attempt the number of the attempt, from 1
 * @param options.span records each step in the upload's trace; default: nothing is traced
 */
export function createReport({
  attempt,
  span = noTracing.span,
}: {
  attempt?: number
  span?: Tracing['span']
} = {}) {
  const startedAt = performance.now()
  const startTime = new Date().toISOString()
  const findings: Findings = {}
  const checks: Check[] = []
  const steps: Step[] = []
  const limits: Record<string, number> = {}
  const tools: Record<string, string> = {}
  let typeFoundBy: string | undefined
  let outcome: 'ready' | 'rejected' | undefined
  let receivedAt: string | undefined
  let onReached: (step: ProgressStep) => void = () => {}

  function warn(sentence: string): void {
    findings.warnings = [...(findings.warnings ?? []), sentence]
  }

  function check(name: string, result: Check['result'], detail?: string): void {
    checks.push({ name, result, ...(detail !== undefined && { detail: detail.slice(0, maxDetailLength) }) })
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

    /** Records since when the upload waited for a worker. @param at ISO 8601 */
    wasReceivedAt(at: string): void {
      receivedAt = at
    },

    /** Records what is odd about a file that is whole, in one sentence for its owner. */
    warn,

    /** Records a check and its result. */
    check,

    /** Runs a check that throws if it fails, and records its result. */
    require(name: string, run: () => void): void {
      try {
        run()
      } catch (error) {
        check(name, 'failed')
        throw error
      }
      check(name, 'passed')
    },

    /** Records limits that are in force for this file, by name. The unit is part of the name. */
    addLimits(inForce: Record<string, number>): void {
      Object.assign(limits, inForce)
    },

    /** Records the versions of tools that work on this file, by name. */
    addTools(versions: Record<string, string>): void {
      Object.assign(tools, versions)
    },

    /**
     * Runs a step and records its duration, also if it fails.
     * @param run gets a function that records what the step used
     */
    async measure<Result>(name: string, run: (use: UseInStep) => Promise<Result>): Promise<Result> {
      const stepStartedAt = performance.now()
      const used: Cost = {}
      try {
        return await span(name, () => run((cost) => Object.assign(used, cost)))
      } finally {
        steps.push({ name, ms: Math.round(performance.now() - stepStartedAt), ...used })
      }
    },

    /** Records what became of the upload. */
    settle(settled: 'ready' | 'rejected' | 'failed'): void {
      if (settled !== 'failed') outcome = settled
    },
    /** Returns what became of the upload; undefined if this attempt did not decide it. */
    outcome: () => outcome,
    /** Returns the steps so far. */
    steps: (): readonly Step[] => steps,

    /** Calls a function with each step that is reached from now on. */
    onReached(listener: (step: ProgressStep) => void): void {
      onReached = listener
    },

    /** Tells those who watch the upload what is done now. */
    reach(step: ProgressStep): void {
      onReached(step)
    },

    /** Returns the durations of all steps so far by name, and the time since the start as `total`, in ms. */
    durations(): Record<string, number> {
      const ms = Object.fromEntries(steps.map((step) => [step.name, step.ms]))
      return { ...ms, total: Math.round(performance.now() - startedAt) }
    },

    /** Returns the evidence so far. @param lastError why the attempt failed, if the upload fails with it */
    evidence(lastError?: unknown): Evidence {
      return {
        ...(attempt !== undefined && { attempt }),
        ...(receivedAt !== undefined && { receivedAt }),
        startedAt: startTime,
        ...(typeFoundBy !== undefined && { typeFoundBy }),
        checks,
        limits,
        tools,
        steps,
        ...(lastError !== undefined && { lastError: describe(lastError) }),
      }
    },
  }
}

export type Report = ReturnType<typeof createReport>

/** Names an error. Its message may contain addresses or keys, and is in the log. */
function describe(error: unknown): NonNullable<Evidence['lastError']> {
  if (!(error instanceof Error)) return { code: typeof error }
  const code = error instanceof AppError ? error.code : error.name
  return { code, ...(error.cause instanceof Error && { cause: error.cause.name }) }
}
