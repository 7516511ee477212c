import { createLog } from '@millrace/shared/service/log.ts'
import { createChecks } from '@millrace/worker/reconciliation/checks.ts'
import { createFindings } from '@millrace/worker/reconciliation/findings.ts'
import type { SweepRun, SweepStage } from '@millrace/worker/reconciliation/sweep-run.ts'

const log = createLog({ level: 'silent', instance: 'test' })

/** A run without a pace, in which each page is counted. By default everything from before its start is old. */
export function createTestRun(times: Partial<SweepRun> & Pick<SweepRun, 'startedAtMs'>) {
  const findings = createFindings({ maxIds: 1000 })
  const unsettled: number[] = []
  let turns = 0
  const run: SweepRun = {
    youngAfterMs: times.startedAtMs,
    verifiedBeforeMs: 0,
    listsVariants: true,
    findings,
    checks: createChecks({ nextCheck: async () => {}, findings, isDryRun: false, log }),
    async nextPage() {
      turns += 1
      if (turns > 100) throw new Error('The run does not end.')
    },
    reportUnsettled: (lastModifiedMs) => unsettled.push(lastModifiedMs),
    ...times,
  }
  return { run, findings, unsettled, turns: () => turns }
}

/** Runs a stage from a cursor to its end. @returns the cursors after its pages */
export async function runStage(stage: SweepStage, cursor = ''): Promise<string[]> {
  const cursors: string[] = []
  for await (const next of stage(cursor)) cursors.push(next)
  return cursors
}
