import { createRandom } from './random.ts'

/** Jobs in order of arrival: the arrival in seconds since the start, and how long each job occupies a slot. */
export type Trace = {
  name: string
  arrivedS: Float64Array
  durationS: Float64Array
  /** When the trace ends. The fleet is billed at least until then. */
  endS: number
}

/** Returns the jobs arriving per second, `s` seconds after the start. */
export type Rate = (s: number) => number

export type DurationSpread = {
  /** Mean, in seconds. */
  meanS: number
  /** σ of the logarithm: 0 makes all jobs equal. */
  sigma: number
}

/** How random jobs are generated. */
export type Sampling = { seed: number; durations: DurationSpread }

/**
 * A photo takes 0.45 s of CPU (measured), and a slot has half a core. At σ = 1, 1 % of the jobs take at least six
 * times the mean: a mixture of large and small originals.
 */
export const photoDurations: DurationSpread = { meanS: 0.9, sigma: 1 }

/**
 * Generates a trace: arrivals are a Poisson process with the given rate, durations are log-normal.
 * @param highest an upper bound of the rate, in jobs a second
 */
export function generateTrace(
  { name, rate, highest, endS }: { name: string; rate: Rate; highest: number; endS: number },
  { seed, durations }: Sampling,
): Trace {
  const arrivals = createRandom(seed)
  const sizes = createRandom(seed + 0x5bd1e995)
  const scale = Math.log(durations.meanS) - durations.sigma ** 2 / 2
  const arrivedS: number[] = []
  const durationS: number[] = []
  for (let s = arrivals.exponential(highest); s < endS; s += arrivals.exponential(highest)) {
    if (arrivals.uniform() * highest >= rate(s)) continue
    arrivedS.push(s)
    durationS.push(Math.exp(scale + durations.sigma * sizes.normal()))
  }
  return { name, arrivedS: Float64Array.from(arrivedS), durationS: Float64Array.from(durationS), endS }
}

/** Returns the work that arrives in `[fromS, toS)`, as the number of slots that it keeps busy. */
export function averageSlotDemand(trace: Trace, fromS = 0, toS = trace.endS): number {
  let workS = 0
  for (let job = 0; job < trace.arrivedS.length; job += 1) {
    const at = trace.arrivedS[job] ?? 0
    if (at >= fromS && at < toS) workS += trace.durationS[job] ?? 0
  }
  return workS / (toS - fromS)
}
