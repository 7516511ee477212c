import { createRandom } from './random.ts'

/** Jobs by the time of their arrival, in seconds since the start, each with the time it holds a slot for. */
export type Trace = {
  name: string
  arrivedS: Float64Array
  durationS: Float64Array
  /** When the trace ends: the fleet is paid until then at least. */
  endS: number
}

/** How many jobs arrive a second, `s` seconds after the start. */
export type Rate = (s: number) => number

export type DurationSpread = {
  /** Mean, in seconds. */
  meanS: number
  /** σ of the logarithm: 0 makes all jobs equal. */
  sigma: number
}

/**
 * A photo takes 0.45 s of CPU (measured), and a slot has half a core. At σ = 1 a hundredth of the jobs takes six
 * times the mean or longer: large originals beside thumbnails.
 */
export const photoDurations: DurationSpread = { meanS: 0.9, sigma: 1 }

/**
 * Draws a trace: arrivals are a Poisson process with that rate, durations log-normal.
 * @param highest no lower than the rate ever is, in jobs a second
 */
export function drawTrace(
  { name, rate, highest, endS }: { name: string; rate: Rate; highest: number; endS: number },
  { seed, durations }: { seed: number; durations: DurationSpread },
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

/** How much work arrives in `[fromS, toS)`, in slots that it would keep busy. */
export function offeredSlots(trace: Trace, fromS = 0, toS = trace.endS): number {
  let workS = 0
  for (let job = 0; job < trace.arrivedS.length; job += 1) {
    const at = trace.arrivedS[job] ?? 0
    if (at >= fromS && at < toS) workS += trace.durationS[job] ?? 0
  }
  return workS / (toS - fromS)
}
