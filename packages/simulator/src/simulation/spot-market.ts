import type { Random } from '../traces/random.ts'

/** AWS tells two minutes ahead that it takes a Spot instance back. */
export const noticeS = 120

export type SpotMarket = {
  /** How often an instance is taken back, in times an hour. */
  interruptionsPerHour: number
}

/** A twentieth of the instances within a month is the least that AWS tells of; a hundredth an hour is rough weather. */
export const defaultSpotMarket: SpotMarket = { interruptionsPerHour: 0.01 }

/** When an instance that is launched now gets its notice, in seconds from now; never is Infinity. */
export function noticeAfterS({ interruptionsPerHour }: SpotMarket, random: Random): number {
  if (interruptionsPerHour <= 0) return Number.POSITIVE_INFINITY
  return random.exponential(interruptionsPerHour / 3600)
}
