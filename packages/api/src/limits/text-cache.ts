import { LRUCache } from 'lru-cache'

/** Number of values in the cache. One of a rate limit takes about 0.3 KB. */
const cacheSize = 5_000
/**
 * Longer texts are not cached, because they could fill the memory. The longest address is an IPv6 address that contains an
 * IPv4 address; a proxy may send any other text as an address. The names of callers have a bounded length.
 */
const maxCharacters = 64

/** Returns `create`, which caches the values of addresses and of callers' names. */
export function cacheByText<Value extends object>(create: (text: string) => Value): (text: string) => Value {
  const cache = new LRUCache<string, Value>({ max: cacheSize })

  return (text) => {
    const cached = cache.get(text)
    if (cached !== undefined) return cached
    const value = create(text)
    if (text.length <= maxCharacters) cache.set(text, value)
    return value
  }
}
