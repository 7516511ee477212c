/**
 * Keeps values that are costly to make for as long as they are asked for: at least the last `limit` of them,
 * at most twice as many. Two generations rather than a list in order of use, since a hit then changes nothing.
 *
 * @param limit how many values
 */
export function createLru<Value>(limit: number) {
  let young = new Map<string, Value>()
  let old = new Map<string, Value>()

  function keep(key: string, value: Value): void {
    if (young.size >= limit) {
      old = young
      young = new Map()
    }
    young.set(key, value)
  }

  return {
    /** @returns what was kept under the key, or undefined */
    find(key: string): Value | undefined {
      const found = young.get(key)
      if (found !== undefined) return found
      const kept = old.get(key)
      if (kept !== undefined) keep(key, kept)
      return kept
    },
    keep,
  }
}
