import type { FleetPoint } from './fleet-metrics.ts'

/** What a policy may know of the fleet. */
export type FleetView = {
  nowS: number
  desired: number
  inService: number
  starting: number
  /** How many have been in service for so long. */
  settled: (settleS: number) => number
  slotsPerWorker: number
  bootS: number
  limits: { min: number; max: number }
  /** Averages of each period, oldest first, as CloudWatch has them. */
  points: readonly FleetPoint[]
  /** For the oracle only: the truth, at this moment. */
  exact: {
    /** Work that waits, in seconds of one slot. */
    waitingS: () => number
    /** For how long all workers that are starting have been, in seconds; they work until one that is launched now does. */
    startingForS: () => number
    /** Work that arrived in the last `windowS` seconds, in seconds of one slot. */
    arrivedS: (windowS: number) => number
  }
}

/** A policy as the simulator runs it: asked every `periodS` seconds how many workers there should be. */
export type Scaler = {
  name: string
  /** Whole seconds. */
  periodS: number
  /** How long after the end of a period its values are known and acted on. */
  delayS: number
  decide: (view: FleetView) => number
}
