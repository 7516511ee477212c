import type { Scaler } from './scaler.ts'

export type ReferenceSettings = {
  /** The window over which it measures the arriving work, in seconds. */
  windowS: number
  /** Spare slots, in standard deviations of the busy slots: β of the square-root staffing rule. */
  safetyFactor: number
  /** In how many boot delays it processes the backlog. */
  backlogBoots: number
  /** For how many boot delays it keeps a worker that it does not need. */
  keepBoots: number
}

/**
 * One of 288 settings that were tried. Most of them trade cost against waits; docs/scaling.md also compares the
 * policy with a setting that spends more on short waits.
 */
export const referenceSettings: ReferenceSettings = {
  windowS: 10,
  safetyFactor: 0.5,
  backlogBoots: 1 / 3,
  keepBoots: 1,
}

/**
 * The scaler that all others are compared with: the best result without knowledge of the future. Every second it
 * gets exact values: the queue, the duration of each job, and the work that arrived. It assumes that the same
 * amount of work continues to arrive.
 *
 * - It requests enough slots for the arriving work and its random variation (square-root staffing: ρ + β√ρ),
 * - or for the arriving work and the backlog that will exist when a worker launched now is ready.
 * - It removes a worker that was not needed for one boot delay. Until then, launching it again would cost as much
 *   as keeping it (the ski rental problem).
 */
export function createReferenceScaler(settings: ReferenceSettings): Scaler {
  const { windowS, safetyFactor, backlogBoots, keepBoots } = settings
  /** Recent sizes. A size is dropped when a larger or equal one follows, so the first one is the maximum. */
  let recent: { atS: number; workers: number }[] = []
  return {
    name: 'reference',
    periodS: 1,
    delayS: 0,
    decide({ nowS, inService, slotsPerWorker, bootS, exact }) {
      const measuredS = Math.min(windowS, nowS)
      const slotDemand = exact.arrivedS(measuredS) / measuredS
      const workDoneDuringBootS = slotsPerWorker * (inService * bootS + exact.startingForS())
      const backlogAfterBootS = Math.max(0, exact.waitingS() + slotDemand * bootS - workDoneDuringBootS)
      const spareSlots = safetyFactor * Math.sqrt(slotDemand)
      const slots = slotDemand + Math.max(spareSlots, backlogAfterBootS / (backlogBoots * bootS))
      const workers = Math.ceil(slots / slotsPerWorker)
      recent = recent.filter((size) => size.atS > nowS - keepBoots * bootS && size.workers > workers)
      recent.push({ atS: nowS, workers })
      return recent[0]?.workers ?? workers
    },
  }
}
