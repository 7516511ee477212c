/** Returns a generator of numbers from 0 to below a limit, the same for each seed (mulberry32). */
export function seededNumbers(seed: number): (limit: number) => number {
  let state = seed >>> 0
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit
  }
}

/** Damages a file: flips bits, replaces bytes by extreme ones, cuts it, or moves a piece of it. */
export function mutate(file: Buffer, random: (limit: number) => number): Buffer {
  const copy = Buffer.from(file)
  // The type must still be recognised, so that a decoder gets the file.
  const place = () => Math.min(copy.length - 1, 12 + random(Math.max(1, copy.length - 12)))
  switch (random(5)) {
    case 0:
      return copy.subarray(0, 12 + random(copy.length))
    case 1: {
      const [from, to, size] = [place(), place(), 1 + random(40)]
      copy.copy(copy, to, from, from + size)
      return copy
    }
    case 2:
      for (let i = 0; i <= random(4); i++) copy[place()] = [0, 0xff, 0x7f, 0x80, 1][random(5)] ?? 0
      return copy
    default:
      for (let i = 0; i <= random(3); i++) {
        const at = place()
        copy[at] = (copy[at] ?? 0) ^ (1 << random(8))
      }
      return copy
  }
}
