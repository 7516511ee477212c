import type { Checks } from './checks.ts'
import type { Findings } from './findings.ts'

/** What the stages of one run share. All times in ms since 1970. */
export type SweepRun = {
  /** When the run started. Ages are measured from here, so that each object is young in exactly one run. */
  startedAtMs: number
  /** Objects and records that changed later are young: workers may still be busy with them. */
  youngAfterMs: number
  /** Originals and manifests that are both from before are known to belong together. */
  verifiedBeforeMs: number
  /** Whether this run lists variants. */
  listsVariants: boolean
  findings: Findings
  checks: Checks
  /** Resolves when the next page may be listed. @throws if the run must end */
  nextPage(): Promise<void>
  /** Reports an original that has a manifest of other bytes and is not finished yet: the next run looks again. */
  reportUnsettled(lastModifiedMs: number): void
}

/**
 * One stage of a run.
 *
 * @param cursor where an interrupted run continues; '' is the start
 * @returns yields the cursor after each page
 */
export type SweepStage = (cursor: string) => AsyncGenerator<string>
