import { type FaultKind, faultKinds } from './faults.ts'
import type { Random } from './random.ts'

/** When a fault begins, in ms after the first upload. */
export type ScheduledFault = { kind: FaultKind; atMs: number }

/** The time between the begins of two faults if all kinds are injected, on average, in ms. */
const meanGapMs = 5_000

/**
 * Makes the schedule of faults: rounds of all kinds in random order, at random times.
 * @param windowMs all faults begin within this time. Fewer kinds make fewer faults in it
 */
export function makeSchedule(
  random: Random,
  { windowMs, kinds }: { windowMs: number; kinds: readonly FaultKind[] },
): ScheduledFault[] {
  const rounds = Math.max(1, Math.round(windowMs / (meanGapMs * faultKinds.length)))
  const order = Array.from({ length: rounds }, () => random.shuffled(kinds)).flat()
  const gapMs = windowMs / order.length
  return order.map((kind, index) => ({ kind, atMs: Math.round((index + random.next()) * gapMs) }))
}
