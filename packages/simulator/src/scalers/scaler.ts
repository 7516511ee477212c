import type { FleetPoint } from './fleet-metrics.ts'

/** The state of the fleet that a scaler decides from. */
export type FleetView = {
  nowS: number
  desired: number
  inService: number
  starting: number
  /** Returns how many workers have been in service for at least this many seconds. */
  inServiceFor: (durationS: number) => number
  slotsPerWorker: number
  bootS: number
  limits: { min: number; max: number }
  /** Averages of each period, oldest first, like CloudWatch's values. */
  points: readonly FleetPoint[]
  /** Exact current values, for the reference scaler only. */
  exact: {
    /** Waiting work, in seconds of one slot. */
    waitingS: () => number
    /**
     * Sum of the seconds since the launch of each starting worker. For that long it will already work when a
     * worker that is launched now becomes ready.
     */
    startingForS: () => number
    /** Work that arrived in the last `windowS` seconds, in seconds of one slot. */
    arrivedS: (windowS: number) => number
  }
}

/** A scaling policy in the simulator. `decide` runs every `periodS` seconds and returns the number of workers. */
export type Scaler = {
  name: string
  /** Whole seconds. */
  periodS: number
  /** Seconds from the end of a period until `decide` runs with its values. */
  delayS: number
  decide: (view: FleetView) => number
}
