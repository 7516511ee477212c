import type { Comparison, Result } from './measure.ts'

/** Prints the results of a comparison: each ratio to the baseline, and whether it reaches its goal. */
export function printTable({ name, note, unit }: Comparison, results: Result[]): void {
  const elapsedUnit = unit.replace(' CPU', '')
  const rows = [
    ['', unit, elapsedUnit, 'ratio', 'goal', ''],
    ...results.map(({ candidate, perCpuSecond, perSecond, ratio }) => [
      candidate.name,
      shown(perCpuSecond),
      shown(perSecond),
      ratio.toFixed(2),
      candidate.goal === undefined ? '' : `≥ ${candidate.goal}`,
      candidate.goal === undefined ? '' : ratio >= candidate.goal ? '✔' : '✘',
    ]),
  ]
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  const lines = rows.map((row) =>
    row
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
  process.stdout.write(`\n${name}\n  (${note})\n${lines.map((line) => `  ${line}\n`).join('')}`)
}

/** Few files a second need a decimal to be compared. */
function shown(value: number): string {
  return value.toFixed(value < 100 ? 1 : 0)
}
