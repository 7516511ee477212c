import type { Scaler } from './scaler.ts'

/** Always returns the same number of workers. The limits must permit it. */
export function createFixedScaler(workers: number): Scaler {
  return { name: `fixed ${workers}`, periodS: 60, delayS: 0, decide: () => workers }
}
