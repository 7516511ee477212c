import type { Scaler } from './scaler.ts'

/** Keeps as many workers, always. The limits have to hold it. */
export function createFixedScaler(workers: number): Scaler {
  return { name: `fixed ${workers}`, periodS: 60, delayS: 0, decide: () => workers }
}
