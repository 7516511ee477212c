import { type Measure, measureAgainst } from './goal.ts'
import type { Summary } from './summary.ts'

const columns = [
  '',
  'wait p50',
  'p95',
  'p99',
  'peak',
  'hours',
  'cost',
  'turns',
  'p95 ÷',
  'cost ÷',
  'turns/burst',
  '',
]

/** @returns a table of all policies on one trace, the oracle first, and how each compares with it */
export function reportOf(trace: string, bursts: number, oracle: Summary, others: Summary[]): string {
  const heading = `${trace}: ${oracle.jobs.toLocaleString('en')} jobs, ${bursts} ${bursts === 1 ? 'burst' : 'bursts'}`
  const rows = [
    columns,
    row(oracle),
    ...others.map((each) => row(each, measureAgainst(oracle, each, bursts))),
  ]
  const widths = columns.map((_, column) => Math.max(...rows.map((cells) => cells[column]?.length ?? 0)))
  const lines = rows.map((cells) =>
    cells
      .map((cell, column) =>
        column === 0 ? cell.padEnd(widths[0] ?? 0) : cell.padStart(widths[column] ?? 0),
      )
      .join('  ')
      .trimEnd(),
  )
  return `${heading}\n${lines.map((line) => `  ${line}\n`).join('')}`
}

function row(summary: Summary, measure?: Measure): string[] {
  const { scaler, p50S, p95S, p99S, peakWorkers, workerHours, dollars, directionChanges } = summary
  return [
    scaler,
    `${p50S.toFixed(1)} s`,
    `${p95S.toFixed(1)} s`,
    `${p99S.toFixed(1)} s`,
    String(peakWorkers),
    workerHours.toFixed(1),
    `$${dollars.toFixed(2)}`,
    String(directionChanges),
    measure ? measure.waitRatio.toFixed(2) : '',
    measure ? measure.costRatio.toFixed(2) : '',
    measure ? measure.turnsPerBurst.toFixed(1) : '',
    measure ? (measure.met ? '✔' : '✘') : '',
  ]
}
