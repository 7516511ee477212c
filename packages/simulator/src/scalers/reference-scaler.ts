import type { Scaler } from './scaler.ts'

export type OracleSettings = {
  /** Over how long it measures what arrives. */
  windowS: number
  /** How many standard deviations of the busy slots it has to spare: β of the square-root staffing rule. */
  spare: number
  /** Within which part of the boot delay it works off what has queued up. */
  drain: number
  /** For how many boot delays it keeps a worker that it does not need. */
  keep: number
}

/**
 * One of 288 that were tried. Most of them differ in what they spend and in what that buys; docs/scaling.md says
 * how the policy does beside one that spends more on short waits.
 */
export const oracleSettings: OracleSettings = { windowS: 10, spare: 0.5, drain: 1 / 3, keep: 1 }

/**
 * The best that can be done without knowing the future, to measure the others by. Every second it sees the queue as
 * it is, knows how long each job takes, and how much work arrives. It takes it that as much will go on arriving.
 *
 * - Enough slots for what arrives and for its chance fluctuation (square-root staffing: ρ + β√ρ).
 * - Or for what arrives and what will be waiting when a worker that is launched now comes.
 * - A worker is let go once it was not needed for one boot delay: until then launching it again costs as much as
 *   keeping it (the ski rental's rule).
 */
export function createReactiveOracle({ windowS, spare, drain, keep }: OracleSettings): Scaler {
  /** What was wanted lately, without all that more was wanted after: the first is the most. */
  let recent: { atS: number; wanted: number }[] = []
  return {
    name: 'reactive oracle',
    periodS: 1,
    delayS: 0,
    decide({ nowS, inService, slotsPerWorker, bootS, exact }) {
      const seenS = Math.min(windowS, nowS)
      const offered = exact.arrivedS(seenS) / seenS
      const doneByThenS = slotsPerWorker * (inService * bootS + exact.startingForS())
      const thenWaitingS = Math.max(0, exact.waitingS() + offered * bootS - doneByThenS)
      const slots = offered + Math.max(spare * Math.sqrt(offered), thenWaitingS / (drain * bootS))
      const wanted = Math.ceil(slots / slotsPerWorker)
      recent = recent.filter((each) => each.atS > nowS - keep * bootS && each.wanted > wanted)
      recent.push({ atS: nowS, wanted })
      return recent[0]?.wanted ?? wanted
    },
  }
}
