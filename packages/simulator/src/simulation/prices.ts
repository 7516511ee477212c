/** Dollars an hour. */
export type Prices = { onDemand: number; spot: number }

/**
 * One c7g.large (2 cores, so four slots) in us-east-1: its list price, and a Spot price of 40 % of it. Spot
 * prices differ by zone and month; only their ratio matters when policies are compared.
 */
export const defaultPrices: Prices = { onDemand: 0.0725, spot: 0.029 }

/** EC2 bills by the second, but a minute at least. */
export const shortestBillS = 60

/** What an instance that ran for `ranS` seconds costs, in dollars. */
export function costOf(ranS: number, dollarsAnHour: number): number {
  return (Math.max(ranS, shortestBillS) / 3600) * dollarsAnHour
}
