import { type Comparison, compareWithReference } from './goal.ts'
import type { Summary } from './summary.ts'

const columns = [
  '',
  'wait p50',
  'p95',
  'p99',
  'peak',
  'hours',
  'cost',
  'changes',
  'p95 ÷',
  'cost ÷',
  'changes/burst',
  '',
]

/** Returns a table of all scalers on one trace: the reference first, then the others with their ratios to it. */
export function formatReport(trace: string, bursts: number, reference: Summary, others: Summary[]): string {
  const heading = `${trace}: ${reference.jobs.toLocaleString('en')} jobs, ${bursts} ${bursts === 1 ? 'burst' : 'bursts'}`
  const rows = [
    columns,
    row(reference),
    ...others.map((summary) => row(summary, compareWithReference(reference, summary, bursts))),
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

function row(summary: Summary, comparison?: Comparison): string[] {
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
    comparison ? comparison.waitRatio.toFixed(2) : '',
    comparison ? comparison.costRatio.toFixed(2) : '',
    comparison ? comparison.changesPerBurst.toFixed(1) : '',
    comparison ? (comparison.met ? '✔' : '✘') : '',
  ]
}
