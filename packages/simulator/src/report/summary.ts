import type { Outcome } from '../simulation/simulate.ts'
import { countDirectionChanges } from './direction-changes.ts'

/** @param share 0 to 1 @returns the value that such a share of all is not above (nearest rank) */
export function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}

/** What is told of an outcome. Waits in seconds. */
export function summarize({ scaler, waitS, changes, peakWorkers, workerHours, dollars, ...rest }: Outcome) {
  const sorted = waitS.toSorted()
  return {
    scaler,
    jobs: waitS.length,
    p50S: percentile(sorted, 0.5),
    p95S: percentile(sorted, 0.95),
    p99S: percentile(sorted, 0.99),
    peakWorkers,
    workerHours,
    dollars,
    interruptions: rest.interruptions,
    directionChanges: countDirectionChanges([
      rest.series[0]?.desired ?? 0,
      ...changes.map(({ desired }) => desired),
    ]),
  }
}

export type Summary = ReturnType<typeof summarize>
