/**
 * How bad a finding is. `note`: worth knowing, nothing to mend. `skipped`: could not be checked here. `warning`: works, but
 * not well or not for long. `error`: something does not work, or files are at risk.
 */
export type Severity = 'ok' | 'note' | 'skipped' | 'warning' | 'error'

/** What one check found, in one sentence, and what to do about it. */
export type Finding = { severity: Severity; text: string; remedy?: string }

/**
 * A check of one part. It may find several things.
 *
 * @throws anything: then the part could not be checked, which is an error
 */
export type Check = { name: string; run: (signal: AbortSignal) => Promise<Finding[]> }

/** A finding with the name of its check. */
export type CheckedFinding = Finding & { check: string }

export const ok = (text: string): Finding => ({ severity: 'ok', text })
export const note = (text: string): Finding => ({ severity: 'note', text })
export const skipped = (text: string): Finding => ({ severity: 'skipped', text })
export const warning = (text: string, remedy: string): Finding => ({ severity: 'warning', text, remedy })
export const error = (text: string, remedy: string): Finding => ({ severity: 'error', text, remedy })

/** @throws Error never; the exit code of a run: 0 nothing wrong, 1 a warning, 2 an error */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 | 2 {
  if (findings.some(({ severity }) => severity === 'error')) return 2
  return findings.some(({ severity }) => severity === 'warning') ? 1 : 0
}
