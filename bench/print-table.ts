import type { Contest, Score } from './measure.ts'

/** Prints what came out of a contest, with each entry's ratio to the baseline and whether it meets its goal. */
export function printTable({ name, note, unit }: Contest, scores: Score[]): void {
  const wall = unit.replace(' CPU', '')
  const rows = [
    ['', unit, wall, 'ratio', 'goal', ''],
    ...scores.map(({ entry, perCpuSecond, perSecond, ratio }) => [
      entry.name,
      perCpuSecond.toFixed(0),
      perSecond.toFixed(0),
      ratio.toFixed(2),
      entry.goal === undefined ? '' : `≥ ${entry.goal}`,
      entry.goal === undefined ? '' : ratio >= entry.goal ? '✔' : '✘',
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
