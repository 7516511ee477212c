/** Numbers that look random and are the same for the same seed: sfc32, by Chris Doty-Humphrey. */
export function createRandom(seed: number) {
  let a = 0x9e3779b9
  let b = 0x243f6a88
  let c = seed | 0
  let counter = 1

  /** From 0 up to, not including, 1. */
  function uniform(): number {
    const sum = (a + b + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = ((c << 21) | (c >>> 11)) + sum
    return (sum >>> 0) / 2 ** 32
  }
  // The first numbers of near seeds resemble each other.
  for (let round = 0; round < 15; round += 1) uniform()

  return {
    uniform,
    /** Time until the next of events that come `rate` times a unit of time. */
    exponential: (rate: number) => -Math.log(1 - uniform()) / rate,
    /** Mean 0, variance 1 (Box and Muller). */
    normal: () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()),
  }
}

export type Random = ReturnType<typeof createRandom>
