export type Random = ReturnType<typeof createRandom>

/**
 * Creates a source of random numbers that repeats itself for the same seed (mulberry32: 32 bits of state, which is enough
 * to choose faults and files).
 */
export function createRandom(seed: number) {
  let state = seed >>> 0

  /** Returns a number from 0 to 1, 1 excluded. */
  function next(): number {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  return {
    next,
    /** Returns a number from `least` to `most`, `most` excluded. */
    between: (least: number, most: number) => least + next() * (most - least),
    /** Returns whether an event of this probability (0 to 1) happens. */
    chance: (probability: number) => next() < probability,
    /** Returns one item. @throws RangeError if there is none */
    pick<Item>(items: readonly Item[]): Item {
      const item = items[Math.floor(next() * items.length)]
      if (item === undefined) throw new RangeError('There is nothing to pick from.')
      return item
    },
    /** Returns the items in another order. */
    shuffled<Item>(items: readonly Item[]): Item[] {
      return items
        .map((item) => ({ item, order: next() }))
        .sort((a, b) => a.order - b.order)
        .map(({ item }) => item)
    },
  }
}
