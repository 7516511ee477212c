/** Dollars an hour. */
export type Prices = { onDemand: number; spot: number }

/**
 * Prices of one c7g.large (2 cores, so 4 slots) in us-east-1: the list price, and 40 % of it as the Spot price.
 * Spot prices differ by zone and month; only the ratio matters for comparing policies.
 */
export const defaultPrices: Prices = { onDemand: 0.0725, spot: 0.029 }

/** EC2 bills by the second, with a minimum of one minute. */
export const minimumBilledS = 60

/** Returns the cost of an instance that ran for `ranS` seconds, in dollars. */
export function instanceCost(ranS: number, dollarsAnHour: number): number {
  return (Math.max(ranS, minimumBilledS) / 3600) * dollarsAnHour
}
