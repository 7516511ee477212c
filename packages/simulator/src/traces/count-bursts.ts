import type { Trace } from './trace.ts'

/** Rates are averaged over this time. Shorter changes are random variation. */
const windowS = 120
/** A burst begins when the rate rises by this factor above its last minimum, and ends when it falls by it again. */
const factor = 1.5

/** Counts the bursts of a trace: how often a fleet has a reason to grow and then to shrink. */
export function countBursts({ arrivedS, endS }: Trace): number {
  const rates = new Float64Array(Math.ceil(endS / windowS))
  for (const at of arrivedS) {
    const window = Math.floor(at / windowS)
    rates[window] = (rates[window] ?? 0) + 1
  }
  let bursts = 0
  let rising = false
  let extreme = Number.POSITIVE_INFINITY
  for (const rate of rates) {
    extreme = rising ? Math.max(extreme, rate) : Math.min(extreme, rate)
    if (rising ? rate * factor > extreme : rate < extreme * factor) continue
    if (!rising) bursts += 1
    rising = !rising
    extreme = rate
  }
  return bursts
}
