import type { Random } from '../traces/random.ts'

/** AWS sends the interruption notice two minutes before it terminates a Spot instance. */
export const noticeS = 120

export type SpotMarket = {
  /** Interruptions of each instance an hour. */
  interruptionsPerHour: number
}

/** AWS' lowest published rate is below 5 % of the instances a month; 0.01 an hour is a high rate. */
export const defaultSpotMarket: SpotMarket = { interruptionsPerHour: 0.01 }

/** Returns the seconds until an instance launched now gets its interruption notice; Infinity means never. */
export function secondsUntilNotice({ interruptionsPerHour }: SpotMarket, random: Random): number {
  if (interruptionsPerHour <= 0) return Number.POSITIVE_INFINITY
  return random.exponential(interruptionsPerHour / 3600)
}
