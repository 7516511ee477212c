import type { CheckedFinding, Severity } from './finding.ts'

const marks: Record<Severity, string> = { ok: '✔', note: '·', skipped: '–', warning: '!', error: '✖' }
/** SGR codes of ECMA-48: green, none, dim, yellow, red. */
const colors: Record<Severity, string> = { ok: '32', note: '0', skipped: '2', warning: '33', error: '31' }

/** Formats findings for a terminal: a line each, with the remedy below. */
export function formatFindings(
  findings: readonly CheckedFinding[],
  { isColored }: { isColored: boolean },
): string {
  return findings
    .map(({ severity, text, remedy }) => {
      const mark = isColored ? `\u001b[${colors[severity]}m${marks[severity]}\u001b[0m` : marks[severity]
      return `${mark} ${text}\n${remedy === undefined ? '' : `    ${remedy}\n`}`
    })
    .join('')
}

/** Formats the last line: how many things are wrong. */
export function formatSummary(findings: readonly CheckedFinding[]): string {
  const count = (severity: Severity) => findings.filter((finding) => finding.severity === severity).length
  const errors = count('error')
  const warnings = count('warning')
  if (errors + warnings === 0) return 'Nothing is wrong.\n'
  const parts = [
    ...(errors > 0 ? [`${errors} ${errors === 1 ? 'error' : 'errors'}`] : []),
    ...(warnings > 0 ? [`${warnings} ${warnings === 1 ? 'warning' : 'warnings'}`] : []),
  ]
  return `${parts.join(', ')}.\n`
}
