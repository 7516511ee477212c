import type { Outcome } from '../simulation/simulate.ts'
import { countDirectionChanges } from './direction-changes.ts'

/** Returns a percentile by the nearest-rank method. @param share 0 to 1 */
export function percentile(sorted: Float64Array, share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0
}

/** Returns the values of an outcome that reports show. Waits are in seconds. */
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
