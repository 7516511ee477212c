/** Creates a seeded pseudo-random number generator: sfc32, by Chris Doty-Humphrey. */
export function createRandom(seed: number) {
  let a = 0x9e3779b9
  let b = 0x243f6a88
  let c = seed | 0
  let counter = 1

  /** Returns a number from 0 (inclusive) to 1 (exclusive). */
  function uniform(): number {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    return (sum >>> 0) / 2 ** 32
  }
  // The first numbers of similar seeds are similar, so they are skipped.
  for (let round = 0; round < 15; round += 1) uniform()

  return {
    uniform,
    /** Returns the time until the next event of a Poisson process with `rate` events per unit of time. */
    exponential: (rate: number) => -Math.log(1 - uniform()) / rate,
    /** Returns a normally distributed number with mean 0 and variance 1 (Box–Muller). */
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  }
}

export type Random = ReturnType<typeof createRandom>
